// The console's own script: pages work without it. It tells the server the time zone, sends filters when one is
// chosen, goes on with a list at its end, and puts in what changed.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
if (!document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=strict`;
  const kept = document.cookie.split("; ").includes(`zone=${zone}`);
  if (kept && document.querySelector("time") && !document.querySelector("form .bad")) location.reload();
}

// what a phone has no room for stands open on a wide screen, and where it is in use
document.querySelectorAll("[data-wide]").forEach((part) => {
  const used = [...part.querySelectorAll("select")].some((field) => field.value);  // days show as chips
  if (used || matchMedia("(min-width: 60rem)").matches) part.open = true;
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sure && !confirm(form.dataset.sure)) return event.preventDefault();
  if (form.method === "get") {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  }
});

// a list goes on when its end comes into sight
const more = new IntersectionObserver((seen) => seen.forEach(({ target, isIntersecting }) => {
  if (isIntersecting) goOn(target);
}), { rootMargin: "300px" });

function watchMore() {
  document.querySelectorAll("[data-more]").forEach((link) => more.observe(link));
}

async function goOn(link) {
  more.unobserve(link);
  const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const list = link.closest("[data-live]").querySelector("ol.rows");
  const added = page.querySelectorAll(`#${link.closest("[data-live]").id} ol.rows > li`);
  list.append(...added);
  const next = page.querySelector("[data-more]");
  link.closest("[data-live]").dataset.grown = "yes";  // not put back to its first page by what is live
  if (next) link.replaceWith(next); else link.parentElement.remove();
  watchMore();
}
watchMore();

// what is live is asked for again, with the page's ETag
const every = Number(document.body.dataset.every || 0) * 1000;
let tag = "";

async function look() {
  if (document.visibilityState === "visible") {
    const answer = await fetch(location.href, {
      headers: { Accept: "text/html", ...(tag ? { "If-None-Match": tag } : {}) }, cache: "no-store",
    }).catch(() => null);
    if (answer && answer.status === 401) return location.reload();
    if (answer && answer.ok) {
      tag = answer.headers.get("ETag") || "";
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (page.body.dataset.page !== document.body.dataset.page) return location.reload();
      for (const there of page.querySelectorAll("[data-live]")) {
        const here = document.getElementById(there.id);
        if (!here || here.outerHTML === there.outerHTML || here.dataset.grown) continue;
        if (here.contains(document.activeElement) || here.querySelector("details[open]")) continue;
        here.replaceWith(document.importNode(there, true));
        document.dispatchEvent(new CustomEvent("renewed"));
      }
      watchMore();
      if (!page.body.dataset.every) return;
    }
  }
  setTimeout(look, every);
}
if (every) setTimeout(look, every);

// the player: what carries data-play is played from there, to data-until; sentences follow the sound
const audio = document.querySelector("audio");
const sentences = [...document.querySelectorAll(".turns [data-start]")];
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
let until = Infinity;

function play(from, to) {
  until = to || Infinity;
  audio.currentTime = from;
  audio.play();
}

function follow() {
  const at = audio.currentTime;
  if (at >= until) {
    audio.pause();
    until = Infinity;
  }
  const wave = document.querySelector("[data-wave]");
  if (wave) {
    const head = wave.querySelector(".head");
    const x = Math.min(at / Number(wave.dataset.wave), 1) * 1000;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
  }
  const now = sentences.findLast((each) => Number(each.dataset.start) <= at + 0.05 && at < Number(each.dataset.end));
  const before = document.querySelector(".turns .now");
  if (now === before || (!now && !before)) return;
  if (before) before.classList.remove("now");
  if (!now) return;
  now.classList.add("now");
  if (!audio.paused) now.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}

function step(by) {
  const at = audio.currentTime;
  const here = sentences.findLastIndex((each) => Number(each.dataset.start) <= at + 0.05);
  const next = sentences[Math.min(Math.max(here + by, 0), sentences.length - 1)];
  if (next) play(Number(next.dataset.start));
}

if (audio) {
  audio.addEventListener("timeupdate", follow);
  audio.addEventListener("seeked", follow);
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-play]");
    if (asked) return play(Number(asked.dataset.play), Number(asked.dataset.until));
    const sentence = event.target.closest(".turns [data-start]");
    if (sentence && !String(getSelection())) return play(Number(sentence.dataset.start));
    const wave = event.target.closest("[data-wave]");
    if (wave) {
      const box = wave.getBoundingClientRect();
      play((event.clientX - box.left) / box.width * Number(wave.dataset.wave));
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select, button, summary, a, audio")) return;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const done = {
      " ": () => (audio.paused ? audio.play() : audio.pause()),
      ArrowLeft: () => { audio.currentTime = Math.max(audio.currentTime - 5, 0); },
      ArrowRight: () => { audio.currentTime += 5; },
      j: () => step(-1),
      k: () => step(1),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  });
}
