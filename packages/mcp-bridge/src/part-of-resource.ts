/** Whether the first characters of a URI name all of it, or something that it is a part of. */
export function endsPart(uri: string, length: number): boolean {
  return uri.length === length || uri[length] === "/" || (uri.length > length && uri[length - 1] === "/");
}
