/** What gateways are used for, in figures. Loads grow with the nodes: each brings its clients. */

export interface Profile {
  readonly name: string;
  readonly clientsPerNode: number;
  readonly channelsPerClient: number;
  /** Of one channel, everywhere; `all`: everybody is in it. */
  readonly subscribersPerChannel: number | "all";
  /** Each client's; of a channel for all, its own. */
  readonly publicationsPerSecond: number;
  readonly dataBytes: number;
  /** How often a client comes anew. */
  readonly stayMinutes: number;
}

export const PROFILES: readonly Profile[] = [
  {
    name: "chat rooms of 20",
    clientsPerNode: 20_000,
    channelsPerClient: 6,
    subscribersPerChannel: 20,
    publicationsPerSecond: 1 / 60,
    dataBytes: 200,
    stayMinutes: 20,
  },
  {
    name: "personal notifications",
    clientsPerNode: 50_000,
    channelsPerClient: 1,
    subscribersPerChannel: 1,
    publicationsPerSecond: 1 / 300,
    dataBytes: 300,
    stayMinutes: 5,
  },
  {
    name: "one channel for all",
    clientsPerNode: 30_000,
    channelsPerClient: 1,
    subscribersPerChannel: "all",
    publicationsPerSecond: 2,
    dataBytes: 500,
    stayMinutes: 30,
  },
  {
    name: "telemetry of devices",
    clientsPerNode: 20_000,
    channelsPerClient: 1,
    subscribersPerChannel: 1,
    publicationsPerSecond: 0.1,
    dataBytes: 150,
    stayMinutes: 600,
  },
];

/** What a profile comes to on so many nodes. */
export interface Load {
  readonly clients: number;
  readonly publicationsPerSecond: number;
  /** Subscribers of the channel of a publication, and how many nodes they are on. */
  readonly subscribers: number;
  readonly followers: number;
  /** Channels that a node follows. */
  readonly channelsPerNode: number;
  readonly deliveriesPerSecond: number;
  readonly deliveriesPerClient: number;
  readonly connectsPerSecond: number;
}

export function loadOf(profile: Profile, nodes: number): Load {
  const clients = profile.clientsPerNode * nodes;
  const forAll = profile.subscribersPerChannel === "all";
  const subscribers = profile.subscribersPerChannel === "all" ? clients : profile.subscribersPerChannel;
  const publicationsPerSecond = profile.publicationsPerSecond * (forAll ? 1 : clients);
  const followers = nodesWithSome(subscribers, nodes);
  const channels = forAll ? 1 : (clients * profile.channelsPerClient) / subscribers;
  const deliveriesPerSecond = publicationsPerSecond * subscribers;
  return {
    clients,
    publicationsPerSecond,
    subscribers,
    followers,
    channelsPerNode: (channels * followers) / nodes,
    deliveriesPerSecond,
    deliveriesPerClient: deliveriesPerSecond / clients,
    connectsPerSecond: clients / (profile.stayMinutes * 60),
  };
}

/** Of so many nodes, on how many there is at least one of `count` clients that a balancer has dealt out at random. */
export function nodesWithSome(count: number, nodes: number): number {
  return nodes * (1 - (1 - 1 / nodes) ** count);
}
