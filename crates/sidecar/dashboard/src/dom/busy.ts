/** Runs one call at a time from a button, which is off meanwhile. */

export async function whileBusy(button: HTMLButtonElement, call: () => Promise<void>): Promise<void> {
  if (button.getAttribute("aria-disabled") === "true") return;
  // aria-disabled rather than disabled: a disabled button loses the keyboard's focus.
  button.setAttribute("aria-disabled", "true");
  try {
    await call();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
