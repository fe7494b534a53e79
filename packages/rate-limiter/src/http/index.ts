export { decisive, type HeaderOptions, toHeaders } from "./to-headers.ts";
