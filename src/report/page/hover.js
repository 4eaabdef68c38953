"use strict";

// A mark's title becomes a tooltip that pointer and keyboard share: Tab goes from chart to chart, arrow keys within one.
{
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);

  for (const chart of document.querySelectorAll("svg.chart")) {
    chart.querySelectorAll(".mark").forEach((mark, number) => {
      const title = mark.querySelector("title");
      mark.dataset.tip = title.textContent;
      title.remove();
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", mark.dataset.tip);
      mark.setAttribute("tabindex", number === 0 ? "0" : "-1");
    });
  }

  const markOf = (event) => event.target instanceof Element && event.target.closest("[data-tip]");
  let shown = null;
  const hide = () => { shown = null; tip.hidden = true; };

  const show = (mark) => {
    shown = mark;
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const gap = 8;
    const at = mark.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const within = (place, most) => Math.max(gap, Math.min(place, most));
    const above = at.top - own.height - gap;
    tip.style.left = `${within(at.left + (at.width - own.width) / 2, innerWidth - own.width - gap)}px`;
    tip.style.top = `${above >= gap ? above : within(at.bottom + gap, innerHeight - own.height - gap)}px`;
  };

  for (const [begin, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(begin, (event) => { const mark = markOf(event); if (mark) show(mark); });
    document.addEventListener(end, (event) => { if (markOf(event)) hide(); });
  }
  document.addEventListener("scroll", () => { if (shown) show(shown); }, { capture: true, passive: true });

  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const middle = (mark) => {
    const { left, top, width, height } = mark.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  };

  // The nearest that way; what lies aside counts threefold.
  const next = (mark, [right, down]) => {
    const [x, y] = middle(mark);
    let [best, least] = [null, Infinity];
    for (const other of mark.closest("svg.chart").querySelectorAll(".mark")) {
      const [dx, dy] = middle(other).map((place, axis) => place - [x, y][axis]);
      const ahead = dx * right + dy * down;
      const cost = ahead + 3 * Math.abs(dx * down + dy * right);
      if (ahead > 1 && cost < least) [best, least] = [other, cost];
    }
    return best;
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const mark = markOf(event);
    const way = ways[event.key];
    if (!mark || !way) return;
    event.preventDefault();
    const other = next(mark, way);
    if (!other) return;
    mark.setAttribute("tabindex", "-1");
    other.setAttribute("tabindex", "0");
    other.focus({ preventScroll: true });
    other.scrollIntoView({ block: "nearest", inline: "nearest" });
    show(other);
  });

  for (const button of document.querySelectorAll(".code button")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // Not allowed everywhere: then the text is at least selected.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}
