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
const GUEST = "recommendations.guest";
const SESSION = "recommendations.session";
const QUEUE = "recommendations.queue";
const SESSION_MS = 30 * 60 * 1000; // without an action so long, a new session begins
const MOST = 500; // events that wait; the oldest are given up first
const REFUSED = [400, 413, 422]; // the same events would be refused again
const IN_BEACON = 100; // events in one request: a beacon may hold 64 KiB
export class Recommendations {
    userId;
    base;
    timeout;
    fallback;
    sending = false;
    constructor(options = {}) {
        this.base = (options.base ?? "").replace(/\/$/, "");
        this.timeout = options.timeout ?? 800;
        this.fallback = options.fallback ?? [];
        this.userId = options.userId;
        setInterval(() => void this.flush(), options.every ?? 3000);
        addEventListener("pagehide", () => this.leave());
        document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.leave());
    }
    /** The visitor's id: random, kept in the browser. */
    get anonymousId() {
        return remembered("localStorage", GUEST, () => `guest-${random()}`);
    }
    /** The id of this visit. */
    get sessionId() {
        const [id, last] = remembered("sessionStorage", SESSION, () => `${random()} ${Date.now()}`).split(" ");
        const current = id && Date.now() - Number(last) < SESSION_MS ? id : random();
        write("sessionStorage", SESSION, `${current} ${Date.now()}`);
        return current;
    }
    /** Asks for items; `fields` are those of `POST /v1/recommend`. */
    recommend(fields = {}) {
        return this.list("/v1/recommend", { ...this.who(), session_id: this.sessionId, ...fields });
    }
    /** Asks for items like an item. */
    similar(itemId, fields = {}) {
        return this.list("/v1/similar", { item_id: itemId, ...fields });
    }
    /** Keeps an event until it is acknowledged. */
    track(event, itemId, more = {}) {
        const made = { event_id: random(), event, item_id: itemId, timestamp: new Date().toISOString() };
        save([...queue(), { ...made, ...this.who(), ...more }]);
    }
    click(itemId, answer) {
        this.track("click", itemId, answer?.request_id ? { request_id: answer.request_id } : {});
    }
    /**
     * Keeps an event for each item of an answer, once, when half of its element has been visible for a second. What was answered the
     * API has recorded by itself; this says what was looked at. `event` has a weight in the data set, and `view` is a page's.
     */
    watch(answer, elementOf, event) {
        const seen = new Map();
        const timers = new Map();
        const observer = new IntersectionObserver((changes) => {
            for (const { target, isIntersecting } of changes) {
                clearTimeout(timers.get(target));
                if (isIntersecting)
                    timers.set(target, window.setTimeout(() => shown(target), 1000));
            }
        }, { threshold: 0.5 });
        const shown = (element) => {
            observer.unobserve(element);
            const item = seen.get(element);
            if (item)
                this.track(event, item.item_id, answer.request_id ? { request_id: answer.request_id } : {});
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
    async flush() {
        const events = queue().slice(0, IN_BEACON);
        if (this.sending || events.length === 0)
            return;
        this.sending = true;
        try {
            const answer = await fetch(`${this.base}/v1/events`, posted(events, AbortSignal.timeout(10_000)));
            if (answer.ok || REFUSED.includes(answer.status))
                forget(events);
            const { rejected = [] } = answer.ok ? (await answer.json()) : {};
            for (const { index, reason } of rejected)
                console.error(`event ${events[index]?.event_id}: ${reason}`);
        }
        catch {
            // they stay in the queue
        }
        finally {
            this.sending = false;
        }
    }
    /** The page is left: the browser sends what waits, also after the page is gone. Nobody hears an answer, so the queue stays. */
    leave() {
        const events = queue().slice(0, IN_BEACON);
        if (events.length === 0)
            return;
        const body = new Blob([JSON.stringify(events)], { type: "application/json" });
        if (!navigator.sendBeacon(`${this.base}/v1/events`, body)) {
            void fetch(`${this.base}/v1/events`, { ...posted(events), keepalive: true }).catch(() => undefined);
        }
    }
    who() {
        return this.userId ? { user_id: this.userId } : { anonymous_id: this.anonymousId };
    }
    async list(path, body) {
        try {
            const answer = await fetch(this.base + path, posted(body, AbortSignal.timeout(this.timeout)));
            if (answer.ok)
                return (await answer.json());
            if (answer.status < 500 && answer.status !== 429)
                console.error(`${path}: ${answer.status} ${await answer.text()}`);
        }
        catch {
            // away or too slow
        }
        const excluded = [body["item_id"], ...(body["exclude_ids"] ?? [])];
        const names = this.fallback.filter((name) => !excluded.includes(name)).slice(0, Number(body["k"] ?? 10));
        const items = names.map((name, place) => ({ item_id: name, title: "", rank: place + 1, score: 0, source: "page" }));
        return { request_id: null, items };
    }
}
function posted(body, signal) {
    const headers = { "content-type": "application/json" };
    return { method: "POST", headers, body: JSON.stringify(body), ...(signal ? { signal } : {}) };
}
function queue() {
    try {
        return JSON.parse(read("localStorage", QUEUE) ?? "[]");
    }
    catch {
        return [];
    }
}
function save(events) {
    write("localStorage", QUEUE, JSON.stringify(events.slice(-MOST)));
}
function forget(events) {
    const sent = new Set(events.map((event) => event.event_id));
    save(queue().filter((event) => !sent.has(event.event_id)));
}
/** Not randomUUID, which pages without https lack. */
function random() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
function remembered(area, key, make) {
    const value = read(area, key) ?? make();
    write(area, key, value);
    return value;
}
const ofThisPage = new Map(); // where the browser's storage is full or forbidden
function read(area, key) {
    try {
        return ofThisPage.get(key) ?? window[area].getItem(key);
    }
    catch {
        return null;
    }
}
function write(area, key, value) {
    try {
        window[area].setItem(key, value);
        ofThisPage.delete(key);
    }
    catch {
        ofThisPage.set(key, value);
    }
}
