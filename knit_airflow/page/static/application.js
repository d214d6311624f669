// One application, by its id or the newest one of a task instance: services, containers, the log of one container, actions.
import { against, badge, call, fill, lasted, make, memory, moment, out, poll, problems, progress, span } from "./common.js";

const parameters = new URLSearchParams(location.search);
const at = (id) => document.getElementById(id);
const MOST_LINES = 5000; // kept in the page
let id = parameters.get("id"), view = null, chosen = null, seen = "", answering = "";

// ---------------------------------------------------------------- which application

/** The id of the application to show; for a task instance the newest one, or the chosen one of its launches. */
async function which() {
  if (!parameters.has("task_id")) return id;
  const names = ["dag_id", "run_id", "task_id", "map_index"].filter((name) => parameters.has(name));
  const query = new URLSearchParams(names.map((name) => [name, parameters.get(name)]));
  const { applications, errors } = await call(`api/task?${query}`);
  at("all").hidden = window.parent !== window;
  if (!applications.length) {
    at("status").textContent = "This task instance has no application on YARN (yet).";
    problems(errors);
    return null;
  }
  const ids = applications.map((row) => row.id);
  if (!ids.includes(chosen)) chosen = null;
  const text = JSON.stringify([ids, chosen]);
  if (applications.length > 1 && seen !== text) {
    seen = text;
    const select = make("select", { onchange: (event) => { chosen = event.target.value; closeLog(); now(); } },
      applications.map((row, index) => make("option", { value: row.id, selected: row.id === (chosen || ids[0]) },
        `launch ${applications.length - index}: ${row.id}, ${row.state}`)));
    at("launches").replaceChildren(make("label", {}, "Launch ", select));
  }
  return chosen || ids[0];
}

// ---------------------------------------------------------------- its state

function facts(it) {
  const pair = (name, ...value) => (value.every((each) => each === "") ? [] : [make("dt", {}, name), make("dd", {}, value)]);
  const task = it.dag_id === null ? "" : out(`../${it.task}`,
    `${it.dag_id} · ${it.run_id} · ${it.task_id}${it.map_index >= 0 ? ` [${it.map_index}]` : ""}`);
  return [
    pair("Application", it.page ? out(it.page, it.id, { tab: true, title: "Its page in the ResourceManager" }) : it.id),
    pair("Task", task),
    pair("Queue", it.queue), pair("User", it.user),
    pair("Memory", against(it.memory, it.memory_asked, memory)),
    pair("Cores", against(it.vcores, it.vcores_asked)),
    pair("Containers", it.pending ? `${it.containers} + ${it.pending} asked for` : String(it.containers)),
    pair("Progress", progress(it.progress)),
    pair("Started", moment(it.started_at)), pair("Ended", moment(it.finished_at)),
    pair("Cost", `${it.gb_hours.toFixed(3)} GB-hours, ${it.core_hours.toFixed(3)} core-hours`),
  ].flat();
}

function service(row) {
  const field = make("input", { type: "number", min: 0, max: 100000, value: row.instances, "aria-label": `Instances of ${row.name}`, data: { focus: "count" } });
  const scale = make("form", { class: "inline" }, field, make("button", { data: { focus: "scale" } }, "Scale"));
  scale.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = Number(field.value);
    if (!field.value || !Number.isInteger(wanted) || wanted < 0) return;
    act(`services/${encodeURIComponent(row.name)}/scale`, { instances: wanted }, `${row.name}: scaling to ${wanted}`);
  });
  const number = (value) => make("td", { class: "number" }, String(value));
  return [make("td", {}, row.name), make("td", {}, badge(row.state.toLowerCase())), number(row.instances), number(row.running),
    number(row.pending), number(row.failed), number(row.restarts),
    make("td", {}, row.may ? scale : "")];
}

function container(row) {
  const name = row.attempt > 1 ? `${row.id} (attempt ${row.attempt})` : row.id;
  const metrics = Object.entries(row.metrics).map(([key, value]) => `${key} ${value}`).join(", ");
  const label = row.yarn && view.may_read_logs
    ? make("button", { type: "button", class: "link", onclick: () => openLog(row.yarn, name), title: "Show its log", data: { focus: "log" } }, name)
    : name;
  const end = make("button", { type: "button", class: "danger", data: { focus: "end" }, onclick: async () => {
    if (await ask(`End ${row.id}?`, "Its process is ended and its instance is removed from the service. The other containers keep running.", "End container")) {
      act(`containers/${encodeURIComponent(row.id)}/kill`, {}, `ending ${row.id}`);
    }
  } }, "End…");
  return [
    make("td", {}, label),
    make("td", {}, badge(row.state), row.ready && row.state === "running" ? make("span", { class: "muted" }, " ready") : ""),
    make("td", {}, row.host),
    make("td", { class: "number" }, progress(row.progress), metrics ? make("div", { class: "muted" }, metrics) : ""),
    make("td", { class: "number" }, row.exit_code === null ? "" : String(row.exit_code)),
    make("td", { class: "number", data: { from: row.started_at || "", to: row.finished_at || "" } }, lasted(row)),
    make("td", { class: "about" }, row.diagnostics),
    make("td", {}, row.may && !row.ended && row.yarn ? end : ""),
  ];
}

function show(it) {
  view = it;
  document.title = `${it.name || it.id} · Knit`;
  at("title").textContent = it.name || it.id;
  at("state").replaceChildren(badge(it.state));
  at("main").hidden = false;
  at("facts").replaceChildren(...facts(it));
  if (at("why").textContent !== it.why) at("why").textContent = it.why;
  const ended = ["succeeded", "failed", "killed"].includes(it.state);
  at("kill").hidden = ended || !it.may_act;
  at("services-part").hidden = !it.services.length;
  fill(document.querySelector("#services tbody"), it.services.map((row) => ({ ...row, may: it.may_act && it.scalable })), (row) => row.name, service);
  const rows = it.rows.map((row) => ({ ...row, may: it.may_act && !ended }));
  if (it.master) {
    rows.unshift({ id: "ApplicationMaster", attempt: 1, state: ended ? "ended" : "running", ended: true, yarn: "master", host: "",
      exit_code: null, progress: null, metrics: {}, diagnostics: "", started_at: it.started_at, finished_at: it.finished_at });
  }
  fill(document.querySelector("#containers tbody"), rows, (row) => `${row.id} ${row.attempt}`, container);
  for (const cell of document.querySelectorAll("#containers [data-from]")) {
    const text = cell.dataset.from ? lasted({ started_at: Number(cell.dataset.from), finished_at: Number(cell.dataset.to) }) : "";
    if (cell.textContent !== text) cell.textContent = text;
  }
  at("fewer").textContent = it.found > it.rows.length
    ? `${it.rows.length} of ${it.found} containers are shown; failed and running ones first.` : "";
  at("status").textContent = answering || (it.late ? "The application answers slowly; its last known state is shown." : "");
  problems(it.problem ? [it.problem] : []);
}

async function update() {
  try {
    const found = await which();
    if (found === null) return undefined;
    id = found;
    show(await call(`api/applications/${encodeURIComponent(id)}`));
  } catch (error) {
    problems([error.message]);
    throw error;
  }
  return ["succeeded", "failed", "killed"].includes(view.state) && !parameters.has("task_id") ? "stop" : undefined;
}

// ---------------------------------------------------------------- actions

/** Opens a dialog for confirmation; a promise of true or false. */
function ask(title, text, yes) {
  const dialog = at("ask");
  at("ask-title").textContent = title;
  at("ask-text").textContent = text;
  at("ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function act(path, body, doing) {
  answering = `${doing} …`;
  at("status").textContent = answering;
  let failed = "";
  try {
    await call(`api/applications/${encodeURIComponent(id)}/${path}`, { body });
  } catch (error) {
    failed = error.message;
  }
  answering = "";
  await now();
  at("status").textContent = failed || `${doing}: done`;
  if (failed) problems([failed]);
}

at("kill").addEventListener("click", async () => {
  const text = "All its containers end, and unsaved data is lost. Its task fails; if it has tries left, Airflow launches it again.";
  if (await ask(`End ${view.name || id}?`, text, "End application")) act("kill", {}, `ending ${id}`);
});

// ---------------------------------------------------------------- the log of one container

let log = null; // { container, cursor, at }

function openLog(container, name) {
  log = { container, cursor: null, at: Date.now() };
  at("log").replaceChildren();
  at("log-title").textContent = `Log of ${name}`;
  at("log-part").hidden = false;
  at("log-part").scrollIntoView({ block: "nearest" });
  at("log").focus({ preventScroll: true });
  read();
}

function closeLog() {
  log = null;
  at("log-part").hidden = true;
}

async function next() {
  const mine = log;
  if (!mine) return undefined;
  const gap = Date.now() - mine.at;
  if (mine.cursor && gap > 120000) { // the page was hidden for long: continue with the last lines, not with all in between
    mine.cursor = null;
    add([["knit", `[not followed for ${span(gap / 1000)}]`]]);
  }
  const part = await call(`api/applications/${encodeURIComponent(id)}/log`, { body: { container: mine.container, cursor: mine.cursor } });
  if (log !== mine) return "now";
  mine.at = Date.now();
  mine.cursor = part.cursor;
  add(part.lines);
  at("log-note").textContent = part.note || (at("log").childElementCount ? "" : "Nothing has been written yet.");
  return part.more ? "now" : undefined;
}

function add(lines) {
  if (!lines.length) return;
  const place = at("log");
  place.append(...lines.map(([stream, text]) => make("div", { class: `line ${stream === "stderr" ? "stderr" : stream === "knit" ? "note" : ""}` }, text || "\u00a0")));
  while (place.childElementCount > MOST_LINES) place.firstElementChild.remove();
  if (at("follow").checked) place.scrollTop = place.scrollHeight;
}

at("log").addEventListener("scroll", () => {
  const place = at("log");
  if (place.scrollHeight - place.scrollTop - place.clientHeight > 40 && at("follow").checked && place.matches(":focus, :hover")) at("follow").checked = false;
});
at("follow").addEventListener("change", () => { if (at("follow").checked) at("log").scrollTop = at("log").scrollHeight; });
at("close-log").addEventListener("click", closeLog);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && log && !at("ask").open) closeLog(); });

const now = poll(update, 2);
const read = poll(next, 2);
