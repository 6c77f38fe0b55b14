"use strict";
// Only in a served page: asks the server every two seconds whether the study has grown, and loads the page anew then.
// What was chosen, the axes and the place on the page come back.
(() => {
  const KEY = "mimar-live";
  const said = document.getElementById("live");
  const version = said.dataset.version;
  const axes = ["x-axis", "y-axis"].map((id) => document.getElementById(id));
  let chosen = null;

  function keep() {
    const state = { chosen, place: window.scrollY, axes: axes.map((axis) => axis.value) };
    sessionStorage.setItem(KEY, JSON.stringify(state));
  }

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
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const other = (await answer.text()) !== version;
      if (other && (await fetch("./", { cache: "no-store" })).ok) {
        keep();
        window.location.reload();
        return;
      }
      said.textContent = "Live: grows with the study.";
    } catch (refused) {
      said.textContent = `The server does not answer (${refused.message}): this is what it told last.`;
    }
    setTimeout(look, 2000);
  }

  document.addEventListener("chosen", (event) => (chosen = event.detail));
  restore();
  setTimeout(look, 2000);
})();
