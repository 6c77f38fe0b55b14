"use strict";
// Only in a served page: asks the server again and again whether the study has grown. Until the reader touches the page
// it loads itself anew then; after that a button does, so that nothing moves under a hand or an eye.
// What was chosen, the axes and the place on the page come back.
(() => {
  const KEY = "mimar-live";
  const said = document.getElementById("live");
  const button = document.getElementById("grown");
  const version = said.dataset.version;
  const axes = ["x-axis", "y-axis"].map((id) => document.getElementById(id));
  // A page that took long to make is not asked for at every look.
  const [came] = performance.getEntriesByType("navigation");
  const pause = Math.min(20000, Math.max(2000, 5 * (came.responseStart - came.requestStart)));
  let chosen = null;
  let touched = false;

  // A screen reader speaks a text each time it is set, the same one too.
  const tell = (words) => {
    if (said.textContent !== words) said.textContent = words;
  };

  // Only once the new page is there: the server keeps it, so that it is not made twice.
  async function reload() {
    const answer = await fetch("./", { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    const state = { chosen, place: window.scrollY, axes: axes.map((axis) => axis.value) };
    sessionStorage.setItem(KEY, JSON.stringify(state));
    window.location.reload();
  }

  const fail = (error) => tell(`The server does not answer (${error.message}): this is what it told last.`);

  function restore() {
    const state = JSON.parse(sessionStorage.getItem(KEY) || "null");
    sessionStorage.removeItem(KEY);
    if (!state) return;
    axes.forEach((axis, k) => {
      if (![...axis.options].some((option) => option.value === state.axes[k])) return;
      axis.value = state.axes[k];
      axis.dispatchEvent(new Event("change"));
    });
    if (state.chosen !== null) document.dispatchEvent(new CustomEvent("choose", { detail: state.chosen }));
    window.scrollTo(0, state.place);
  }

  async function look() {
    try {
      const answer = await fetch("version", { cache: "no-store" });
      const words = await answer.text();
      if (!answer.ok) throw new Error(words);
      const grown = words !== version;
      button.hidden = !grown;
      tell(grown ? "The study has grown." : "Live: grows with the study.");
      if (grown && !touched && !document.hidden) {
        await reload();
        return;
      }
    } catch (error) {
      fail(error);
    }
    setTimeout(look, pause);
  }

  for (const touch of ["pointerdown", "keydown", "wheel"]) {
    document.addEventListener(touch, () => (touched = true), { capture: true, passive: true });
  }
  document.addEventListener("chosen", (event) => (chosen = event.detail));
  button.addEventListener("click", () => reload().catch(fail));
  restore();
  setTimeout(look, 2000);
})();
