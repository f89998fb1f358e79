/** The colour that a custom property stands for right now, as a canvas understands it. */

const probe = document.createElement("span");
probe.hidden = true;

export function color(property: string): string {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.setProperty("color", `var(${property})`);
  return getComputedStyle(probe).color;
}
