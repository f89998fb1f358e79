/** JSON with indentation where the value is JSON, else the value as it is. */
export function readable(value: string): string {
  const first = value.trimStart()[0];
  if (first !== "{" && first !== "[") return value;
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value;
  }
}
