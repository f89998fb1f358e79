/** What panels need from the page around them. */

import { Unauthorized, type Api } from "./api/client.ts";
import { whileBusy } from "./dom/busy.ts";
import { failed } from "./dom/notice.ts";

export interface Context {
  api: Api;
  /** Asks for a token. */
  unlock(): void;
}

/** Makes a call for a button; a refusal is shown, a missing token asked for. */
export function act(context: Context, button: HTMLButtonElement, call: () => Promise<void>): Promise<void> {
  return whileBusy(button, async () => {
    try {
      await call();
    } catch (error) {
      if (error instanceof Unauthorized) context.unlock();
      else failed(error);
    }
  });
}
