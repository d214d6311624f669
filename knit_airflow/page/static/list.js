// The list of applications. The address has the filters and the page, so that it can be bookmarked and shared.
import { against, badge, call, fill, lasted, make, memory, moment, out, poll, problems, progress } from "./common.js";

const FILTERS = ["text", "dag", "state", "queue"];
const form = document.getElementById("filters");
const body = document.querySelector("#applications tbody");
const foot = document.querySelector("#applications tfoot");
const status = document.getElementById("status");
const parameters = new URLSearchParams(location.search);
let shown = null;

function cells(row) {
  const where = row.dag_id === null
    ? make("td", { class: "muted" }, "its task is gone")
    : make("td", {},
        out(`../${row.task}`, row.dag_id, { title: "The task instance in Airflow", data: { focus: "task" } }),
        make("div", { class: "muted clip", title: row.run_id }, row.run_id),
        make("div", {}, row.map_index >= 0 ? `${row.task_id} [${row.map_index}]` : row.task_id));
  const page = `application?id=${encodeURIComponent(row.id)}`;
  const waits = row.pending ? ` + ${row.pending}` : "";
  return [
    make("td", {},
      make("a", { href: page, data: { focus: "page" } }, row.name || row.id),
      make("div", { class: "muted" }, row.page ? out(row.page, row.id, { tab: true, title: "Its page in the ResourceManager", data: { focus: "rm" } }) : row.id)),
    where,
    make("td", {}, badge(row.state), row.why ? make("div", { class: "why", title: row.why }, row.why) : ""),
    make("td", {}, row.queue),
    make("td", { class: "number" }, `${row.containers}${waits}`),
    make("td", { class: "number" }, progress(row.progress)),
    make("td", { class: "number" }, against(row.memory, row.memory_asked, memory)),
    make("td", { class: "number" }, against(row.vcores, row.vcores_asked)),
    make("td", {}, moment(row.started_at)),
    make("td", { class: "number", data: { from: row.started_at || "", to: row.finished_at || "" } }, lasted(row)),
    make("td", { class: "number" }, row.gb_hours.toFixed(2)),
  ];
}

function choices(name, values) {
  const select = form.elements[name], chosen = parameters.get(name) || "";
  const wanted = ["", ...new Set(chosen ? [...values, chosen] : values)];
  const there = [...select.options].map((option) => option.value);
  if (wanted.join("\n") !== there.join("\n")) {
    select.replaceChildren(...wanted.map((value) => make("option", { value }, value || "all")));
  }
  select.value = chosen;
}

function show(found) {
  shown = found;
  fill(body, found.rows, (row) => row.id, cells);
  for (const cell of body.querySelectorAll("[data-from]")) {
    const text = lasted({ started_at: Number(cell.dataset.from), finished_at: Number(cell.dataset.to) });
    if (cell.textContent !== text) cell.textContent = text;
  }
  choices("dag", found.dags);
  choices("queue", found.queues);
  const sums = found.sums;
  foot.replaceChildren(make("tr", {},
    make("th", { scope: "row", colspan: 4 }, `${found.found} of ${found.total} applications`),
    make("td", { class: "number" }, sums.pending ? `${sums.containers} + ${sums.pending}` : String(sums.containers)),
    make("td"),
    make("td", { class: "number" }, against(sums.memory, sums.memory_asked, memory)),
    make("td", { class: "number" }, against(sums.vcores, sums.vcores_asked)),
    make("td"), make("td"),
    make("td", { class: "number" }, sums.gb_hours.toFixed(2))));
  document.getElementById("pages").textContent = `Page ${found.page} of ${found.pages}`;
  document.getElementById("previous").disabled = found.page <= 1;
  document.getElementById("next").disabled = found.page >= found.pages;
  const counts = Object.entries(found.states).map(([state, count]) => `${count} ${state}`).join(", ");
  status.textContent = counts || "Nothing has been launched yet.";
  problems(found.errors.map((text) =>
    found.at ? `${text} What is shown is from ${moment(found.at * 1000)}.` : text));
}

async function update() {
  try {
    show(await call(`api/applications?${parameters}`));
  } catch (error) {
    problems([error.message]);
    if (!shown) status.textContent = "";
    throw error;
  }
}

function change(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null) parameters.delete(name);
    else parameters.set(name, value);
  }
  history.replaceState(null, "", parameters.size ? `?${parameters}` : location.pathname);
  arrows();
  now();
}

function arrows() {
  const sort = parameters.get("sort") || "";
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const mine = sort.replace("-", "") === head.dataset.sort;
    head.setAttribute("aria-sort", !mine ? "none" : sort.startsWith("-") ? "descending" : "ascending");
  }
}

for (const head of document.querySelectorAll("th[data-sort]")) {
  const name = head.dataset.sort;
  head.replaceChildren(make("button", {
    type: "button",
    class: "sort",
    onclick: () => change({ sort: parameters.get("sort") === `-${name}` ? name : `-${name}`, page: "" }),
  }, head.textContent));
}
for (const name of FILTERS) { // use what was typed before this script was loaded
  if (!parameters.has(name) && form.elements[name].value) parameters.set(name, form.elements[name].value);
  form.elements[name].value = parameters.get(name) || "";
}
let typing = null;
form.elements.text.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => change({ text: form.elements.text.value, page: "" }), 250);
});
for (const name of ["dag", "state", "queue"]) {
  form.elements[name].addEventListener("change", () => change({ [name]: form.elements[name].value, page: "" }));
}
form.addEventListener("reset", () => change(Object.fromEntries([...FILTERS, "sort", "page"].map((name) => [name, ""]))));
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("previous").addEventListener("click", () => change({ page: shown.page - 1 }));
document.getElementById("next").addEventListener("click", () => change({ page: shown.page + 1 }));

arrows();
const now = poll(update, 3);
