
// A click on a column's title sorts by it, a second one the other way round, a third gives the first order back.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const first = [...body.rows];
  const titles = [...table.tHead.rows[0].cells];

  // What is no number stands behind all numbers.
  const number = (text) => {
    const found = text.replace(/,/g, "").replace(/\u2212/g, "-").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
    return found ? Number(found[0]) : null;
  };
  const order = (column, way) => (a, b) => {
    const [left, right] = [a, b].map((row) => row.cells[column].textContent);
    if (!titles[column].classList.contains("number")) return way * left.localeCompare(right, "en", { numeric: true });
    const [x, y] = [number(left), number(right)];
    if (x === null || y === null) return (x === null) - (y === null);
    return way * (x - y);
  };

  titles.forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    if (!button.textContent) button.setAttribute("aria-label", "sort by this column");
    title.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[title.getAttribute("aria-sort")] ?? "ascending";
      for (const other of titles) other.removeAttribute("aria-sort");
      if (next === "none") {
        body.append(...first);
        return;
      }
      title.setAttribute("aria-sort", next);
      body.append(...[...first].sort(order(column, next === "ascending" ? 1 : -1)));
    });
  });
}
