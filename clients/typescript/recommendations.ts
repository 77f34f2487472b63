/**
 * A client of the recommendation API for pages. The page's own server passes `/v1/recommend`, `/v1/similar` and `/v1/events` on
 * to the API with its key (docs/clients.md); the browser holds no key.
 *
 *     const shop = new Recommendations({ base: "/recs", fallback: ["bestseller-1"] });
 *     const answer = await shop.recommend({ k: 8, surface: "home" });
 *     for (const item of answer.items) draw(item, () => shop.click(item.item_id, answer));
 *     shop.watch(answer, (item) => document.getElementById(item.item_id), "seen"); // one of the data set's `event_weights`
 *
 * Events wait in a queue and go out every few seconds, and by `sendBeacon` when the page is left. What was not acknowledged stays
 * in the queue, over reloads too; each event has an id and a time, so that the API counts it once, when it happened.
 */

export interface Item {
  item_id: string;
  title: string;
  rank: number;
  score: number;
  source: string;
  [field: string]: unknown;
}

/** request_id is null where `items` is the page's own fallback list. */
export interface Answer {
  request_id: string | null;
  items: Item[];
}

export interface RecommendationEvent {
  event_id: string;
  event: string;
  item_id: string;
  timestamp: string;
  anonymous_id?: string;
  user_id?: string;
  request_id?: string;
  value?: number;
}

export interface Options {
  /** Path or address before `/v1`. */
  base?: string;
  /** The user, once somebody is logged in. */
  userId?: string;
  /** Milliseconds that a list may take. */
  timeout?: number;
  /** Items to show when the API is away. */
  fallback?: string[];
  /** Milliseconds between two requests with events. */
  every?: number;
}

const GUEST = "recommendations.guest";
const SESSION = "recommendations.session";
const QUEUE = "recommendations.queue";
const SESSION_MS = 30 * 60 * 1000; // without an action so long, a new session begins
const MOST = 500; // events that wait; the oldest are given up first
const REFUSED = [400, 413, 422]; // the same events would be refused again
const IN_BEACON = 100; // events in one request: a beacon may hold 64 KiB

export class Recommendations {
  userId: string | undefined;
  private readonly base: string;
  private readonly timeout: number;
  private readonly fallback: string[];
  private sending = false;

  constructor(options: Options = {}) {
    this.base = (options.base ?? "").replace(/\/$/, "");
    this.timeout = options.timeout ?? 800;
    this.fallback = options.fallback ?? [];
    this.userId = options.userId;
    setInterval(() => void this.flush(), options.every ?? 3000);
    addEventListener("pagehide", () => this.leave());
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.leave());
  }

  /** The visitor's id: random, kept in the browser. */
  get anonymousId(): string {
    return remembered("localStorage", GUEST, () => `guest-${random()}`);
  }

  /** The id of this visit. */
  get sessionId(): string {
    const [id, last] = remembered("sessionStorage", SESSION, () => `${random()} ${Date.now()}`).split(" ");
    const current = id && Date.now() - Number(last) < SESSION_MS ? id : random();
    write("sessionStorage", SESSION, `${current} ${Date.now()}`);
    return current;
  }

  /** Asks for items; `fields` are those of `POST /v1/recommend`. */
  recommend(fields: Record<string, unknown> = {}): Promise<Answer> {
    return this.list("/v1/recommend", { ...this.who(), session_id: this.sessionId, ...fields });
  }

  /** Asks for items like an item. */
  similar(itemId: string, fields: Record<string, unknown> = {}): Promise<Answer> {
    return this.list("/v1/similar", { item_id: itemId, ...fields });
  }

  /** Keeps an event until it is acknowledged. */
  track(event: string, itemId: string, more: { request_id?: string; value?: number } = {}): void {
    const made = { event_id: random(), event, item_id: itemId, timestamp: new Date().toISOString() };
    save([...queue(), { ...made, ...this.who(), ...more }]);
  }

  click(itemId: string, answer?: Answer): void {
    this.track("click", itemId, answer?.request_id ? { request_id: answer.request_id } : {});
  }

  /**
   * Keeps an event for each item of an answer, once, when half of its element has been visible for a second. What was answered the
   * API has recorded by itself; this says what was looked at. `event` has a weight in the data set, and `view` is a page's.
   */
  watch(answer: Answer, elementOf: (item: Item) => Element | null, event: string): void {
    const seen = new Map<Element, Item>();
    const timers = new Map<Element, number>();
    const observer = new IntersectionObserver(
      (changes) => {
        for (const { target, isIntersecting } of changes) {
          clearTimeout(timers.get(target));
          if (isIntersecting) timers.set(target, window.setTimeout(() => shown(target), 1000));
        }
      },
      { threshold: 0.5 },
    );
    const shown = (element: Element) => {
      observer.unobserve(element);
      const item = seen.get(element);
      if (item) this.track(event, item.item_id, answer.request_id ? { request_id: answer.request_id } : {});
    };
    for (const item of answer.items) {
      const element = elementOf(item);
      if (element) {
        seen.set(element, item);
        observer.observe(element);
      }
    }
  }

  /** Sends the events that wait. Those that the API acknowledges or refuses for good leave the queue. */
  async flush(): Promise<void> {
    const events = queue().slice(0, IN_BEACON);
    if (this.sending || events.length === 0) return;
    this.sending = true;
    try {
      const answer = await fetch(`${this.base}/v1/events`, posted(events, AbortSignal.timeout(10_000)));
      if (answer.ok || REFUSED.includes(answer.status)) forget(events);
      const { rejected = [] } = answer.ok ? ((await answer.json()) as { rejected?: { index: number; reason: string }[] }) : {};
      for (const { index, reason } of rejected) console.error(`event ${events[index]?.event_id}: ${reason}`);
    } catch {
      // they stay in the queue
    } finally {
      this.sending = false;
    }
  }

  /** The page is left: the browser sends what waits, also after the page is gone. Nobody hears an answer, so the queue stays. */
  private leave(): void {
    const events = queue().slice(0, IN_BEACON);
    if (events.length === 0) return;
    const body = new Blob([JSON.stringify(events)], { type: "application/json" });
    if (!navigator.sendBeacon(`${this.base}/v1/events`, body)) {
      void fetch(`${this.base}/v1/events`, { ...posted(events), keepalive: true }).catch(() => undefined);
    }
  }

  private who(): { user_id: string } | { anonymous_id: string } {
    return this.userId ? { user_id: this.userId } : { anonymous_id: this.anonymousId };
  }

  private async list(path: string, body: Record<string, unknown>): Promise<Answer> {
    try {
      const answer = await fetch(this.base + path, posted(body, AbortSignal.timeout(this.timeout)));
      if (answer.ok) return (await answer.json()) as Answer;
      if (answer.status < 500 && answer.status !== 429) console.error(`${path}: ${answer.status} ${await answer.text()}`);
    } catch {
      // away or too slow
    }
    const excluded = [body["item_id"], ...((body["exclude_ids"] as string[] | undefined) ?? [])];
    const names = this.fallback.filter((name) => !excluded.includes(name)).slice(0, Number(body["k"] ?? 10));
    const items = names.map((name, place) => ({ item_id: name, title: "", rank: place + 1, score: 0, source: "page" }));
    return { request_id: null, items };
  }
}

function posted(body: unknown, signal?: AbortSignal): RequestInit {
  const headers = { "content-type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body), ...(signal ? { signal } : {}) };
}

function queue(): RecommendationEvent[] {
  try {
    return JSON.parse(read("localStorage", QUEUE) ?? "[]") as RecommendationEvent[];
  } catch {
    return [];
  }
}

function save(events: RecommendationEvent[]): void {
  write("localStorage", QUEUE, JSON.stringify(events.slice(-MOST)));
}

function forget(events: RecommendationEvent[]): void {
  const sent = new Set(events.map((event) => event.event_id));
  save(queue().filter((event) => !sent.has(event.event_id)));
}

/** Not randomUUID, which pages without https lack. */
function random(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function remembered(area: Area, key: string, make: () => string): string {
  const value = read(area, key) ?? make();
  write(area, key, value);
  return value;
}

type Area = "localStorage" | "sessionStorage";
const ofThisPage = new Map<string, string>(); // where the browser's storage is full or forbidden

function read(area: Area, key: string): string | null {
  try {
    return ofThisPage.get(key) ?? window[area].getItem(key);
  } catch {
    return null;
  }
}

function write(area: Area, key: string, value: string): void {
  try {
    window[area].setItem(key, value);
    ofThisPage.delete(key);
  } catch {
    ofThisPage.set(key, value);
  }
}
