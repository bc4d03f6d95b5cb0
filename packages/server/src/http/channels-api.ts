/** `/api/channels/…`: what is there, who is there, what was said. */
import type { ChannelView, Control, Page } from "../ports/control.ts";
import type { Grant } from "./guard.ts";
import { operation, type Operation } from "./operation.ts";
import * as schemas from "./schemas.ts";

const common = { tag: "channels", confinable: true } as const;

export function channelOperations(control: Control, historyPageMax: number): Operation[] {
  return [
    operation({
      ...common,
      method: "GET",
      path: "/api/channels",
      id: "listChannels",
      summary: "Known channels, in name order",
      scope: "read",
      query: schemas.channelPage,
      answer: schemas.channelsAnswer,
      run: ({ query, grant }) => listChannels(control, grant, { ...schemas.pageOf(query), prefix: query.prefix }),
    }),
    operation({
      ...common,
      method: "GET",
      path: "/api/channels/{channel}",
      id: "getChannel",
      summary: "One channel",
      scope: "read",
      answer: schemas.channelView,
      errors: ["badChannel", "notFound"],
      run: ({ parameters }) => control.channel(parameters.channel),
    }),
    operation({
      ...common,
      method: "GET",
      path: "/api/channels/{channel}/presence",
      id: "getPresence",
      summary: "Who is present in the channel",
      scope: "read",
      answer: schemas.presenceView,
      errors: ["badChannel"],
      run: ({ parameters }) => control.presence(parameters.channel),
    }),
    operation({
      ...common,
      method: "GET",
      path: "/api/channels/{channel}/history",
      id: "getHistory",
      summary: "Kept publications of the channel",
      scope: "read",
      query: schemas.historyPage(historyPageMax),
      answer: schemas.historyView,
      errors: ["badChannel", "unavailable"],
      run: ({ parameters, query }) =>
        control.history(parameters.channel, {
          since: schemas.sinceOf(query.since),
          limit: query.limit,
          reverse: query.reverse,
        }),
    }),
    operation({
      ...common,
      method: "DELETE",
      path: "/api/channels/{channel}/history",
      id: "clearHistory",
      summary: "Forget the kept publications; the numbering goes on",
      scope: "manage",
      errors: ["badChannel", "unavailable"],
      run: ({ parameters }) => control.clearHistory(parameters.channel),
    }),
  ];
}

/** For a key limited to namespaces the others' channels are left out, before the page is cut, so that paging stays whole. */
async function listChannels(
  control: Control,
  grant: Grant,
  query: Page & { readonly prefix: string | undefined },
): Promise<{ channels: ChannelView[]; more: boolean }> {
  if (!grant.confined) return control.channels(query);
  const channels: ChannelView[] = [];
  let after = query.after;
  for (;;) {
    const page = await control.channels({ ...query, after, limit: schemas.PAGE_MAX });
    for (const view of page.channels) {
      if (!grant.mayTouch(view.channel)) continue;
      if (channels.length === query.limit) return { channels, more: true };
      channels.push(view);
    }
    after = page.channels.at(-1)?.channel;
    if (!page.more || after === undefined) return { channels, more: false };
  }
}
