// Sorting and the theme. Nothing is fetched and nothing is stored: a page that is reloaded is as it was written.
"use strict";

const UNITS = {
  KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, min: 60, h: 3600,
};
const NUMBER = /^[<>Δ\s]*([+-]?(?:\d[\d,]*)(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w=]|\.\d)\s*([A-Za-z]+\b)?/;

// The number that a cell begins with, in its smallest unit; null of words. "1.6512 [1.6470, 1.6555]" is 1.6512.
function leading(text) {
  const found = NUMBER.exec(text.trim());
  return found && Number(found[1].replaceAll(",", "")) * (UNITS[found[2]] ?? 1);
}

// Rows by a column: by number where most of its cells begin with one, else by word. What is not a number stays last.
function sorted(rows, column, sign) {
  const texts = rows.map((row) => row.cells[column].textContent);
  const numbers = texts.map(leading);
  const filled = texts.filter((text) => text.trim() && text.trim().toLowerCase() !== "n/a").length;
  const numeric = 2 * numbers.filter((n) => n !== null).length > filled;
  const compare = (i, j) => {
    if (!numeric) return sign * texts[i].localeCompare(texts[j], "en", { numeric: true });
    if (numbers[i] === null || numbers[j] === null) return (numbers[i] === null) - (numbers[j] === null);
    return sign * (numbers[i] - numbers[j]);
  };
  return [...rows.keys()].sort((i, j) => compare(i, j) || i - j).map((i) => rows[i]);
}

// Upwards, downwards, and then the order of the report again.
const NEXT = { ascending: "descending", descending: null };

function sortable(table) {
  const body = table.tBodies[0];
  const written = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const sort = () => {
      const before = head.getAttribute("aria-sort");
      const order = before ? NEXT[before] : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (order) head.setAttribute("aria-sort", order);
      body.append(...(order ? sorted(written, column, order === "ascending" ? 1 : -1) : written));
    };
    head.tabIndex = 0;
    head.title = "Sort by this column";
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault(); // a space would scroll
      sort();
    });
  });
}

document.querySelectorAll("table").forEach(sortable);

const theme = document.getElementById("theme");
const root = document.documentElement;
const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const name = () => { theme.textContent = dark() ? "Light theme" : "Dark theme"; };
theme.hidden = false;
theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
name();
