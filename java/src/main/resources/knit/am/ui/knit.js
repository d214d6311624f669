"use strict";
const at = (id) => document.getElementById(id);
const when = (ms) => (ms ? new Date(ms).toLocaleTimeString() : "");
function span(ms) {
  const s = Math.round(ms / 1000);
  if (s < 60) return s + " s";
  return s < 3600 ? Math.floor(s / 60) + " min " + (s % 60) + " s" : Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
}
// Only ever text: whatever a program calls itself, it is no markup here.
function cell(value) {
  const td = document.createElement("td");
  if (value instanceof Node) td.append(value);
  else td.textContent = value === null || value === undefined ? "" : String(value);
  return td;
}
function state(word) {
  const one = document.createElement("span");
  one.className = "state " + String(word).replace(/[^A-Z]/g, "");
  one.textContent = word;
  return one;
}
function link(text, href) {
  const a = document.createElement("a");
  a.textContent = text;
  a.href = href;
  return a;
}
function fill(table, rows) {
  const body = at(table).tBodies[0];
  body.replaceChildren(...rows.map((row) => { const tr = document.createElement("tr"); tr.append(...row.map(cell)); return tr; }));
}
function show(data) {
  const app = data.application;
  document.title = app.name + " · Knit";
  at("name").textContent = app.name;
  at("state").textContent = app.state;
  at("state").className = "state " + app.state;
  at("about").textContent = app.id + ", " + app.user + ", attempt " + app.attempt + ", since " + span(data.now - app.startedAt) +
    (app.avoidedNodes.length ? ", avoids " + app.avoidedNodes.join(", ") : "");
  at("progress").value = app.progress;
  const pages = Object.entries(app.pages);
  at("pages").hidden = !pages.length;
  at("pages").lastElementChild.replaceChildren(...pages.map(([name, page]) => {
    const li = document.createElement("li");
    li.append(link(name, "pages/" + encodeURIComponent(name) + page.path), " of " + page.container);
    return li;
  }));
  fill("services", Object.entries(app.services).map(([name, s]) =>
    [name, state(s.state), s.instances, s.running, s.ready, s.pending + s.waiting, s.succeeded, s.failed, s.restarts]));
  const wanted = at("filter").value;
  const ended = ["SUCCEEDED", "FAILED", "KILLED"];
  const some = data.containers.filter((c) => !wanted || (wanted === "live" ? !ended.includes(c.state) : c.state === wanted));
  at("shown").textContent = some.length + " of " + data.containers.length + (data.more ? " (" + data.more + " more are not listed)" : "");
  fill("containers", some.slice(0, 500).map((c) => {
    const logs = c.yarn && c.nodeHttp ? link(c.id, location.protocol + "//" + c.nodeHttp + "/node/containerlogs/" + c.yarn + "/" + app.user) : c.id;
    const ran = c.startedAt ? span((c.finishedAt || data.now) - c.startedAt) : "";
    const done = c.progress === null ? "" : Math.round(c.progress * 100) + " %";
    const metrics = Object.entries(c.metrics || {}).map(([k, v]) => k + " " + v).join(", ");
    return [logs, c.attempt, state(c.ready && c.state === "RUNNING" ? "READY" : c.state), c.node, when(c.startedAt), ran,
      done + (metrics ? " " + metrics : ""), c.exitCode, c.diagnostics];
  }));
  fill("events", data.events.slice().reverse().map((e) => [when(e.at), e.event, e.container, e.detail]));
}
async function look() {
  try {
    const reply = await fetch("ui/state.json", { cache: "no-store" });
    if (!reply.ok) throw new Error("the application answered " + reply.status);
    show(await reply.json());
    at("trouble").hidden = true;
  } catch (error) {
    at("trouble").hidden = false;
    at("trouble").textContent = "Not up to date: " + error.message;
  }
  setTimeout(look, document.hidden ? 10000 : 2000);
}
at("filter").addEventListener("change", look);
look();
