"use strict";
// The front table: sorting, copying the export command, training cost for another number of tokens.
// It speaks to the plots through two events on document: "choose" (an id was picked) and "chosen" (all show it now).
(() => {
  const table = document.getElementById("front-table");
  const said = document.getElementById("copied");
  const rows = () => Array.from(table.tBodies[0].rows);
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

  function sortBy(head) {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => Number(row.cells[head.cellIndex].dataset.value);
    const sorted = rows().sort((a, b) => (ascending ? value(a) - value(b) : value(b) - value(a)));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    table.tBodies[0].append(...sorted);
  }

  function estimate(billions) {
    if (!(billions > 0)) return;
    const speed = Number(table.dataset.flopsPerSecond);
    for (const cell of table.querySelectorAll(".hours, .dollars")) {
      const hours = (Number(cell.dataset.flopsPerToken) * billions * 1e9) / speed / 3600;
      const price = cell.classList.contains("dollars") ? Number(table.dataset.dollarsPerHour) : 1;
      cell.dataset.value = String(hours * price);
      cell.textContent = number.format(hours * price);
    }
  }

  async function copy(button) {
    const command = button.dataset.command;
    try {
      await navigator.clipboard.writeText(command);
      said.textContent = `Copied: ${command}`;
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy command"), 1500);
    } catch (refused) {
      // A browser may keep the clipboard from a local file: then the command is shown, ready to be taken by hand.
      said.textContent = `Copy this by hand (${refused.name}): ${command}`;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".sort")) sortBy(button.closest("th"));
    if (button.matches(".copy")) copy(button);
    if (button.matches(".select")) {
      document.dispatchEvent(new CustomEvent("choose", { detail: Number(button.dataset.id) }));
    }
  });
  document.addEventListener("chosen", (event) => {
    for (const row of rows()) {
      const hit = Number(row.dataset.id) === event.detail;
      row.classList.toggle("chosen", hit);
      row.querySelector(".select").setAttribute("aria-pressed", String(hit));
    }
  });
  const tokens = document.getElementById("tokens");
  tokens.addEventListener("input", () => estimate(Number(tokens.value)));
})();
