// Shared by both pages: requests, safe DOM elements, formatting, polling, links out of Airflow's frame, colours.

/** An element with properties and children. Strings become text nodes and are never parsed as HTML. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** JSON from the page's own server; throws an Error with the server's message. */
export async function call(path, { body, signal } = {}) {
  const options = { credentials: "same-origin", signal, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const reply = await fetch(path, options);
  let content = null;
  try {
    content = await reply.json();
  } catch {
    content = null;
  }
  if (reply.ok) return content;
  const message = content && typeof content.detail === "string" ? content.detail : `The server answered ${reply.status}`;
  const error = new Error(
    reply.status === 401 ? "You are logged out: reload Airflow to log in." :
    reply.status === 403 && message === "Forbidden" ? "You have no permission to see this." : message);
  error.status = reply.status;
  throw error;
}

/** Runs `update` every `seconds` while the page is visible, never twice at a time; returns a function that runs it now. */
export function poll(update, seconds) {
  let timer = null, running = false, again = false, faults = 0;
  async function turn() {
    clearTimeout(timer);
    timer = null;
    if (document.hidden) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      const pause = await update();
      faults = 0;
      if (pause === "stop") return;
      if (pause === "now") again = true;
    } catch {
      faults += 1;
    } finally {
      running = false;
    }
    const wait = again && !faults ? 0 : seconds * Math.min(2 ** faults, 10);
    again = false;
    timer = setTimeout(turn, wait * 1000);
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) turn();
  });
  turn();
  return turn;
}

/** Airflow's window when it frames this page; else null. */
function airflow() {
  try {
    return window.parent !== window && window.parent.location.origin === location.origin ? window.parent : null;
  } catch {
    return null;
  }
}

/** A link to an http or https page that opens outside the frame. For other addresses only the text. */
export function out(address, text, { tab = false, ...properties } = {}) {
  let url;
  try {
    url = new URL(address, document.baseURI);
  } catch {
    return document.createTextNode(text);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return document.createTextNode(text);
  return make("a", {
    href: url.href,
    rel: "noopener noreferrer",
    ...(tab ? { target: "_blank" } : {}),
    onclick: (event) => clickOutside(event, url.href, tab),
    ...properties,
  }, text);
}

// Airflow's frame is sandboxed: it must neither open a tab nor navigate Airflow's page. Airflow's document may, so the click is
// made there; both have the same origin.
function clickOutside(event, href, tab) {
  const parent = airflow();
  if (!parent) return;
  event.preventDefault();
  const anchor = parent.document.createElement("a");
  anchor.href = href;
  anchor.rel = "noopener noreferrer";
  if (tab || event.ctrlKey || event.metaKey || event.shiftKey) anchor.target = "_blank";
  parent.document.body.append(anchor);
  anchor.click();
  anchor.remove();
}

/** MiB as readable text. */
export function memory(mib) {
  return mib < 1024 ? `${Math.round(mib)} MiB` : `${trim(mib / 1024)} GiB`;
}

function trim(number) {
  return number.toFixed(number < 10 ? 1 : 0).replace(/\.0$/, "");
}

/** Seconds as readable text. */
export function span(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The duration until the end, or until now; times in ms. */
export function lasted(row) {
  return row.started_at ? span(((row.finished_at || Date.now()) - row.started_at) / 1000) : "";
}

/** A time as short text. */
export function moment(ms) {
  if (!ms) return "";
  const then = new Date(ms);
  const day = then.toDateString() === new Date().toDateString() ? "" : `${then.toLocaleDateString()} `;
  return day + then.toLocaleTimeString([], { hour12: false });
}

/** The used amount, with the requested one if that is larger. */
export function against(used, asked, show = String) {
  return asked > used ? `${show(used)} of ${show(asked)}` : show(used);
}

/** A state as a coloured word. */
export function badge(state) {
  return make("span", { class: `badge ${state.replace(/[^a-z]/g, "")}` }, state);
}

/** A progress bar with its number; empty for null. */
export function progress(fraction) {
  if (fraction === null || fraction === undefined) return "";
  const percent = Math.round(fraction * 100);
  return make("span", { class: "progress" }, make("progress", { max: 100, value: percent, "aria-label": "progress" }), `${percent} %`);
}

/** Updates a table's body by the rows' keys; unchanged rows keep their element, and the keyboard focus is kept. */
export function fill(body, rows, key, cells) {
  const present = new Map([...body.children].map((element) => [element.dataset.key, element]));
  const active = document.activeElement;
  const place = active && body.contains(active) ? [active.closest("tr")?.dataset.key, active.dataset.focus] : null;
  let previous = null;
  for (const row of rows) {
    const name = key(row), seen = JSON.stringify(row);
    let element = present.get(name);
    present.delete(name);
    if (!element || element.seen !== seen) {
      const fresh = make("tr", { data: { key: name } }, cells(row));
      fresh.seen = seen;
      if (element) element.replaceWith(fresh);
      element = fresh;
    }
    const expected = previous ? previous.nextElementSibling : body.firstElementChild;
    if (expected !== element) body.insertBefore(element, expected);
    previous = element;
  }
  for (const removed of present.values()) removed.remove();
  if (place && document.activeElement !== active) {
    const row = [...body.children].find((element) => element.dataset.key === place[0]);
    [...(row?.querySelectorAll("[data-focus]") || [])].find((element) => element.dataset.focus === place[1])?.focus();
  }
}

/** Shows error messages; removes them for an empty list. */
export function problems(texts) {
  const place = document.getElementById("problems");
  if (place.dataset.seen === texts.join("\n")) return;
  place.dataset.seen = texts.join("\n");
  place.replaceChildren(...texts.map((text) => make("p", { class: "problem" }, text)));
}

// Airflow's colours and its light or dark mode; outside Airflow's frame the page has the browser's mode.
const COLOURS = { "--bg": "bg", "--fg": "fg", "--muted": "fg-muted", "--line": "border", "--soft": "bg-subtle", "--brand": "fg-info" };

function applyTheme() {
  const root = document.documentElement, parent = airflow();
  if (!parent) return;
  const theirs = parent.document.documentElement;
  const style = parent.getComputedStyle(theirs);
  const dark = theirs.classList.contains("dark") || theirs.dataset.theme === "dark";
  root.dataset.theme = dark ? "dark" : "light";
  for (const [mine, name] of Object.entries(COLOURS)) {
    const value = style.getPropertyValue(`--chakra-colors-${name}`).trim();
    if (value) root.style.setProperty(mine, value);
  }
  const font = style.getPropertyValue("--chakra-fonts-body").trim();
  if (font) root.style.setProperty("--font", font);
}

applyTheme();
const frame = airflow();
if (frame) {
  const watcher = new MutationObserver(applyTheme);
  watcher.observe(frame.document.documentElement, { attributes: true, attributeFilter: ["class", "data-theme", "style"] });
  window.addEventListener("pagehide", () => watcher.disconnect());
}
