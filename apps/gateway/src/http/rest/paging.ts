import { z } from "zod";
import type { Page } from "../../registry/registry.ts";
import type { RestRequest } from "./route.ts";

/** Query of every list: an exact name, and which part of the list. */
export const pageQuery = z.strictObject({
  name: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  offset: z.coerce.number().int().min(0).default(0),
});

/** Parsed {@link pageQuery}, without the name where none was given. */
export type PageParams = z.infer<typeof pageQuery>;

/** The registry's form of a query. */
export function registryQuery({ name, limit, offset }: PageParams) {
  return { limit, offset, ...(name === undefined ? {} : { name }) };
}

/** Puts the length of the whole list into `X-Total-Count` and returns the part. */
export function withTotal<T>(
  request: Pick<RestRequest<unknown, unknown>, "reply">,
  page: Page<T>,
): readonly T[] {
  request.reply.header("x-total-count", page.total);
  return page.items;
}
