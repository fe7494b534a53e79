/**
 * Whether a URI may have come from a URI template (RFC 6570): literal parts equal, simple expressions anything
 * without a slash, reserved ones (`{+x}`, `{#x}`, `{/x}`, `{?x}`, `{&x}`) anything.
 */
export function matchesTemplate(template: string, uri: string): boolean {
  const pattern = template
    .split(/(\{[^{}]*\})/)
    .map((part) => {
      if (!part.startsWith("{")) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      return /^\{[+#/?&]/.test(part) ? ".*" : "[^/]*";
    })
    .join("");
  return new RegExp(`^${pattern}$`, "s").test(uri);
}
