/** One red pixel, PNG, base64. */
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

/** Four samples of 16-bit sound at 8 kHz, WAV, base64. */
export const WAV = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQgAAAAAAAAgAAAA4A==";

/** A text content item. */
export const text = (value: string) => ({ type: "text" as const, text: value });

/** An image content item. */
export const image = () => ({ type: "image" as const, data: PNG, mimeType: "image/png" });
