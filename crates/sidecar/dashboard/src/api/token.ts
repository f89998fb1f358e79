/** The bearer token of this tab. It leaves with the tab: sessionStorage, never localStorage. */

const SLOT = "seawall.token";

export function token(): string | null {
  return sessionStorage.getItem(SLOT);
}

export function keepToken(value: string): void {
  sessionStorage.setItem(SLOT, value);
}

export function dropToken(): void {
  sessionStorage.removeItem(SLOT);
}
