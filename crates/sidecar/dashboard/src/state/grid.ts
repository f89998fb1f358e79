/** Where an arrow key leads in a wrapped grid of cells. */

export type Move = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown" | "Home" | "End";

export function isMove(key: string): key is Move {
  return ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(key);
}

/** The cell to go to from `at` among `count` cells in rows of `columns`; stays put at an edge. */
export function moved(move: Move, at: number, count: number, columns: number): number {
  const target = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: at - columns,
    ArrowDown: at + columns,
    Home: 0,
    End: count - 1,
  }[move];
  return target < 0 || target >= count ? at : target;
}
