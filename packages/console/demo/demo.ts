/** The demo chat: asks for a name, enters the room of the url's hash, and shows what happens. */
import { channelFault } from "@longwire/protocol";
import { byId, make, makeDisc, recall, remember } from "./dom.ts";
import { Log } from "./log.ts";
import { newId, Room, type RoomEvents } from "./room.ts";
import { Status } from "./status.ts";
import { TransportSwitch } from "./transport-switch.ts";
import { type Language, type Word, Words } from "./words.ts";

const LOBBY = "lobby";

const words = new Words(
  (recall("longwire demo language") as Language | null) ??
    (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
);
const welcome = byId("welcome");
const app = byId("app");
const nameInput = byId("name-input") as HTMLInputElement;
const messageInput = byId("message-input") as HTMLTextAreaElement;
const membersPanel = byId("members-panel");
const membersToggle = byId("members-toggle");

const status = new Status(words, () => client.connect());
const transport = new TransportSwitch(words, change);
let client = transport.makeClient();
client.on("state", (state) => status.show(state));

const self = { id: recall("longwire demo id") ?? newId(), name: recall("longwire demo name") ?? "" };
remember("longwire demo id", self.id);
const log = new Log(words, self.id, (message) => void room?.publish(message));
let room: Room | undefined;
let people: readonly { readonly name: string; readonly isSelf: boolean }[] = [];
let unread = 0;

const events: RoomEvents = {
  began: (messages) => log.begin(messages),
  arrived(message) {
    log.add(message);
    if (document.hidden && message.from !== self.id) unread++;
    drawTitle();
  },
  sending: (message, state) => log.mark(message, state),
  joined: (name) => log.line("joined", { name: name || words.say("somebody") }),
  left: (name) => log.line("left", { name: name || words.say("somebody") }),
  members(names) {
    people = names;
    drawMembers();
  },
  missed: () => log.line("missed"),
  noHistory: () => log.line("noHistory"),
  refused: (reason) => log.line("refused", { reason }),
};

/** The room of the url's hash; the lobby where it names none. */
function roomName(): string {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    // A stray `%` is part of the name.
  }
  name = name
    .trim()
    .normalize("NFC")
    .replace(/[\s,]+/g, "-");
  return name !== "" && channelFault(`demo:${name}`) === undefined ? name : LOBBY;
}

function enter(): void {
  room?.close();
  people = [];
  log.clear();
  welcome.hidden = true;
  app.hidden = false;
  room = new Room(client, `demo:${roomName()}`, { ...self }, events);
  client.connect();
  draw();
  messageInput.focus();
}

/** Goes on in the same room by another way: nobody sees somebody leave, nothing is lost and nothing comes twice. */
function change(): void {
  const before = room;
  const { pending } = log;
  before?.release();
  client.disconnect();
  client = transport.makeClient();
  client.on("state", (state) => status.show(state));
  if (before === undefined) return;
  room = new Room(client, `demo:${roomName()}`, { ...self }, events, before.isLoaded);
  client.connect();
  // Whether they arrived is not known; said again with the same key, they are stored once.
  for (const message of pending) void room.publish(message);
}

function ask(): void {
  app.hidden = true;
  welcome.hidden = false;
  nameInput.value = self.name;
  draw();
  nameInput.focus();
}

function draw(): void {
  document.documentElement.lang = words.locale;
  for (const element of document.querySelectorAll<HTMLElement>("[data-word]")) {
    element.textContent = words.say(element.dataset["word"] as Word);
  }
  const name = roomName();
  byId("room-name").textContent = name;
  byId("welcome-room").textContent = words.say("welcomeRoom", { room: name });
  const language = byId("language");
  language.textContent = words.say("otherLanguage");
  language.ariaLabel = words.say("language");
  language.lang = words.language === "zh" ? "en" : "zh-CN";
  const rename = byId("rename");
  rename.replaceChildren(makeDisc(self.name), make("span", "own-name", self.name));
  rename.ariaLabel = rename.title = `${words.say("changeName")}: ${self.name}`;
  messageInput.placeholder = words.say("messageTo", { room: name });
  messageInput.ariaLabel = words.say("message");
  byId("send").ariaLabel = words.say("send");
  byId("messages").ariaLabel = `#${name}`;
  status.draw();
  transport.draw();
  drawMembers();
  drawTitle();
}

function drawMembers(): void {
  const items = people.map(({ name, isSelf }) => {
    const shown = name || words.say("somebody");
    const you = isSelf ? [make("span", "you", words.say("you"))] : [];
    return make("li", "", makeDisc(shown), make("span", "", shown), ...you);
  });
  byId("members").replaceChildren(...items);
  byId("members-count").textContent = String(people.length);
  membersToggle.ariaLabel = words.say("hereCount", { count: people.length });
}

function drawTitle(): void {
  document.title = `${unread > 0 ? `(${unread}) ` : ""}#${roomName()} · Longwire`;
}

function toggleMembers(open: boolean): void {
  membersPanel.classList.toggle("open", open);
  membersToggle.ariaExpanded = String(open);
}

function send(): void {
  const text = messageInput.value.trim();
  if (text === "") return;
  messageInput.value = "";
  grow();
  toggleMembers(false);
  room?.send(text);
}

/** The input is as high as what stands in it, up to the style's limit. */
function grow(): void {
  messageInput.style.height = "auto";
  messageInput.style.height = `${messageInput.scrollHeight + 2}px`;
}

byId("join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = nameInput.value.trim();
  if (name === "") return;
  self.name = name;
  remember("longwire demo name", name);
  enter();
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
messageInput.addEventListener("input", grow);
messageInput.addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
byId("rename").addEventListener("click", ask);
byId("language").addEventListener("click", () => {
  words.language = words.language === "zh" ? "en" : "zh";
  remember("longwire demo language", words.language);
  draw();
  log.redraw();
});
membersToggle.addEventListener("click", () => toggleMembers(!membersPanel.classList.contains("open")));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") toggleMembers(false);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) unread = 0;
  drawTitle();
});
window.addEventListener("hashchange", () => {
  if (app.hidden) draw();
  else enter();
});

if (self.name === "") ask();
else enter();
