"use strict";
// The form is posted without leaving the page, and the way of what it sent is looked at until it is over. Without this
// script the same happens by whole pages.
const form = document.getElementById("form"), shown = document.getElementById("way");
const again = document.getElementById("again"), said = document.getElementById("said");
let watched = 0;  // how many were watched: only the latest is shown

async function watch(address) {
  const own = ++watched;
  for (let wait = 0; own === watched;) {
    await new Promise((go) => setTimeout(go, wait));
    let told;
    try {
      const answer = await fetch(address);
      if (answer.status === 404) return;
      if (!answer.ok) throw new Error(answer.status);
      told = await answer.json();
    } catch {
      wait = 1000;  // the server is away, and comes back
      continue;
    }
    if (own !== watched) return;
    // The server's own page, where everything is escaped; it is replaced only where it says something new.
    if (shown.dataset.html !== told.html) shown.innerHTML = shown.dataset.html = told.html;
    if (told.again_in === null) {
      said.textContent = shown.querySelector(".headline").textContent;
      return;
    }
    wait = told.again_in;
  }
}

if (shown && shown.dataset.way) watch(shown.dataset.way);

if (form) {
  const key = document.getElementById("key"), to = document.getElementById("to"), hint = document.getElementById("hint-to");
  const chosen = () => form.querySelector("input[name=channel]:checked");
  const examples = new Set([...form.querySelectorAll("input[name=channel]")].map((each) => each.dataset.to));
  let used = false;  // whether something was sent under this key

  const renew = () => {
    if (!used) return;
    used = false;
    // crypto.randomUUID is there in https and on one's own machine alone.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    key.value = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    document.getElementById("key-shown").textContent = key.value;
    again.hidden = true;
  };
  const suggest = () => {
    if (!chosen()) return;
    // What somebody has written stays.
    if (!to.value || examples.has(to.value)) to.value = chosen().dataset.to;
    hint.textContent = chosen().dataset.hint;
  };
  const complain = (errors) => {
    for (const name of ["", "channel", "to", "message"]) {
      const words = document.getElementById("error-" + name), field = document.getElementById(name);
      words.textContent = errors[name] || "";
      words.hidden = !errors[name];
      if (field && errors[name]) field.setAttribute("aria-invalid", "true");
      else if (field) field.removeAttribute("aria-invalid");
    }
    const wrong = form.querySelector("[aria-invalid]");
    if (wrong) wrong.focus();
  };

  suggest();
  form.addEventListener("input", (event) => {
    renew();  // another request needs another key
    if (event.target.name === "channel") suggest();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    used = true;
    let told;
    try {
      const answer = await fetch(form.action, {
        method: "POST", body: new FormData(form), headers: {Accept: "application/json"},
      });
      told = await answer.json();
    } catch {
      told = {errors: {"": "The server did not answer as expected: load the page again."}};
    }
    complain(told.errors || {});
    if (told.errors) return;
    again.hidden = !told.replayed;
    watch(told.way);
    shown.parentElement.scrollIntoView({block: "nearest"});  // on a telephone it is below the form
  });
  // Another one is asked for on this page, under a new key.
  shown.addEventListener("click", (event) => {
    if (event.target.id !== "another" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    used = true;
    renew();
    document.getElementById("message").focus();
  });
}
