"use strict";
(() => {
  const all = (selector, from) => Array.from((from || document).querySelectorAll(selector));
  const at = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  // Copying: a button beside the commands of a cell, once the cell is open.
  const copy = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  const offer = (details) => {
    for (const commands of all(":scope > .body > .commands", details)) {
      const button = document.createElement("button");
      const box = document.createElement("div");
      button.type = "button";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy the commands");
      button.addEventListener("click", () => copy(commands.textContent, button));
      box.className = "copied";
      commands.replaceWith(box);
      box.append(commands, button);
    }
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.open && event.target.classList.contains("cell")) offer(event.target);
  }, true);
  all(".cell[open]").forEach(offer);

  const filter = at("filter");
  if (!filter) return;
  filter.hidden = false;

  const cells = all(".cell").map((element) => ({
    element,
    outcome: element.dataset.o,
    arch: element.dataset.a,
    mode: element.dataset.m,
    name: element.querySelector("h3").textContent.toLowerCase(),
    words: null,
    shown: true,
  }));
  const links = all(".map td a");
  const number = (link) => Number(link.hash.slice(2));
  const groups = all(".group").map((element) => ({
    element,
    everywhere: "all" in element.dataset,
    cells: all(".in a", element).map(number),
    words: null,
  }));
  const words = (of) => all(".key, .object, .rule > h3 code", of).map((e) => e.textContent).join("\n").toLowerCase();
  const text = at("text");
  const boxes = all("input[name=outcome]", filter);

  // A finding that many cells have stands with the rules only: its words are its cells' words.
  const index = () => {
    if (cells.length === 0 || cells[0].words !== null) return;
    for (const cell of cells) cell.words = cell.name + "\n" + words(cell.element);
    for (const group of groups) {
      const rule = group.element.closest(".rule");
      group.words = rule.querySelector("h3 code").textContent.toLowerCase() + "\n" + words(group.element);
      for (const id of group.cells) cells[id].words += "\n" + group.words;
    }
  };

  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    const outcomes = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const arch = at("arch").value;
    const mode = at("mode").value;
    if (wanted) index();
    let shown = 0;
    for (const cell of cells) {
      cell.shown = outcomes.has(cell.outcome) && (!arch || cell.arch === arch) &&
        (!mode || cell.mode === mode) && (!wanted || cell.words.includes(wanted));
      if (cell.element.hidden === cell.shown) cell.element.hidden = !cell.shown;
      shown += cell.shown ? 1 : 0;
    }
    for (const link of links) link.classList.toggle("dim", !cells[number(link)].shown);
    for (const row of all(".map tbody tr")) {
      row.classList.toggle("gone", all("a", row).every((link) => link.classList.contains("dim")));
    }
    for (const table of all(".map")) table.hidden = all("tbody tr", table).every((row) => row.classList.contains("gone"));
    for (const group of groups) {
      group.element.hidden = !group.everywhere && (!group.cells.some((id) => cells[id].shown) ||
        Boolean(wanted) && !group.words.includes(wanted) && !group.cells.some((id) => cells[id].name.includes(wanted)));
    }
    for (const rule of all(".rule")) {
      const inside = all(".group", rule);
      rule.hidden = inside.length > 0 && inside.every((group) => group.hidden);
    }
    at("nothing").hidden = shown > 0;
    at("count").textContent = `${shown} of ${cells.length} cells`;
  };

  const reset = () => {
    text.value = "";
    at("arch").value = "";
    at("mode").value = "";
    for (const box of boxes) box.checked = true;
    apply();
  };
  filter.addEventListener("input", apply);
  at("reset").addEventListener("click", reset);

  // A link leads to its cell even if the filter hides it.
  const reveal = () => {
    const cell = /^#c[0-9]+$/.test(location.hash) && at(location.hash.slice(1));
    if (!cell) return;
    const details = cell.closest(".cell");
    if (details.hidden) reset();
    details.open = true;
    details.querySelector("summary").focus({ preventScroll: true });
    details.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#c']");
    if (link && link.hash === location.hash) reveal();
  });

  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const move = (link, [down, right]) => {
    let row = link.closest("tr");
    let column = link.closest("td").cellIndex;
    for (;;) {
      column += right;
      if (down) {
        do row = down > 0 ? row.nextElementSibling : row.previousElementSibling;
        while (row && row.classList.contains("gone"));
      }
      const cell = row && row.cells[column];
      if (!cell) return;
      const next = cell.querySelector("a");
      if (next) { next.focus(); return; }
    }
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target;
    const types = target.matches("input[type=search], select, textarea");
    if (event.key === "/" && !types) {
      event.preventDefault();
      text.focus();
      text.select();
    } else if (event.key === "Escape" && target === text) {
      text.value = "";
      apply();
    } else if (event.key in steps && target.matches(".map td a")) {
      event.preventDefault();
      move(target, steps[event.key]);
    }
  });

  apply();
  reveal();
})();
