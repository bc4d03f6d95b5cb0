/** Public door of `@longwire/protocol`. */
export * from "./binary.ts";
export * from "./channel.ts";
export * from "./codes.ts";
export * from "./cursor.ts";
export * from "./decode.ts";
export * from "./encode.ts";
export * from "./messages.ts";
export * from "./publication.ts";
