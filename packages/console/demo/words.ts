/** What the page says, in English and Chinese. */

export type Language = "en" | "zh";

const ENGLISH = {
  welcome: "Join the chat",
  welcomeRoom: "You are about to enter #{room}.",
  yourName: "Your name",
  join: "Join",
  here: "Who is here",
  hereCount: "{count} here",
  you: "you",
  transport: "Connect by",
  automatic: "Automatic",
  websocket: "WebSocket",
  stream: "HTTP stream",
  sse: "Event stream",
  poll: "Long polling",
  changeName: "Change name",
  language: "切换到中文",
  otherLanguage: "中文",
  message: "Message",
  messageTo: "Message #{room}",
  send: "Send",
  retryNow: "Retry now",
  newMessages: "New messages ↓",
  idle: "Offline",
  connecting: "Connecting…",
  connected: "Connected",
  waiting: "Disconnected",
  closed: "Disconnected",
  retryIn: "Connection lost. Next try in {seconds}\u00a0s.",
  retrying: "Connection lost. Trying again…",
  noNetwork: "No network. Next try in {seconds}\u00a0s.",
  ended: "The server ended the connection: {reason}",
  joined: "{name} joined",
  left: "{name} left",
  missed: "Some messages could not be brought back.",
  noHistory: "Earlier messages are not available.",
  refused: "This room is not open to you: {reason}",
  first: "Nobody has written here yet. Say hello!",
  sending: "sending…",
  failed: "Not sent. Send again",
  today: "Today",
  somebody: "somebody",
};

export type Word = keyof typeof ENGLISH;

const CHINESE: Readonly<Record<Word, string>> = {
  welcome: "加入聊天",
  welcomeRoom: "即将进入聊天室 #{room}。",
  yourName: "你的名字",
  join: "加入",
  here: "在线成员",
  hereCount: "{count} 人在线",
  you: "你",
  transport: "连接方式",
  automatic: "自动选择",
  websocket: "WebSocket",
  stream: "HTTP 流",
  sse: "SSE 事件流",
  poll: "长轮询",
  changeName: "更改名字",
  language: "Switch to English",
  otherLanguage: "EN",
  message: "消息",
  messageTo: "发消息到 #{room}",
  send: "发送",
  retryNow: "立即重试",
  newMessages: "有新消息 ↓",
  idle: "未连接",
  connecting: "正在连接…",
  connected: "已连接",
  waiting: "连接已断开",
  closed: "连接已断开",
  retryIn: "连接已断开，{seconds} 秒后重试。",
  retrying: "连接已断开，正在重试…",
  noNetwork: "没有网络，{seconds} 秒后重试。",
  ended: "服务器结束了连接：{reason}",
  joined: "{name} 加入了聊天室",
  left: "{name} 离开了聊天室",
  missed: "部分消息无法恢复。",
  noHistory: "无法获取更早的消息。",
  refused: "无法进入此聊天室：{reason}",
  first: "还没有人发言，打个招呼吧！",
  sending: "发送中…",
  failed: "发送失败，点击重发",
  today: "今天",
  somebody: "匿名",
};

export class Words {
  language: Language;

  constructor(language: Language) {
    this.language = language;
  }

  say(word: Word, values: Readonly<Record<string, string | number>> = {}): string {
    const text = (this.language === "zh" ? CHINESE : ENGLISH)[word];
    return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
  }

  get locale(): string {
    return this.language === "zh" ? "zh-CN" : "en-GB";
  }

  clock(time: number): string {
    return new Intl.DateTimeFormat(this.locale, { hour: "2-digit", minute: "2-digit" }).format(time);
  }

  day(time: number, now: number): string {
    if (new Date(time).toDateString() === new Date(now).toDateString()) return this.say("today");
    return new Intl.DateTimeFormat(this.locale, { month: "long", day: "numeric", weekday: "long" }).format(time);
  }
}
