// What is wrong with the layout of a run's page, and what its table says.
const box = (element) => element.getBoundingClientRect();
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const within = (inner, outer) =>
  inner.left >= outer.left - 1 && inner.right <= outer.right + 1 && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
const name = (element) => `${element.tagName}.${element.getAttribute("class")}: ${element.textContent.slice(0, 60)}`;
const wrong = [];

const plot = document.querySelector(".plot");
const floors = all(".floor", plot);
const lanes = all(".lane", plot);
const names = all(".names .name");
if (lanes.length === 0 || floors.length !== lanes.length || names.length !== lanes.length) {
  wrong.push(`${lanes.length} lanes, ${floors.length} floors, ${names.length} names`);
}
const overlap = (elements) => {
  const sorted = [...elements].sort((one, other) => box(one).left - box(other).left);
  sorted.slice(1).forEach((next, index) => {
    if (box(next).left < box(sorted[index]).right - 0.5) wrong.push(`${name(sorted[index])} OVERLAPS ${name(next)}`);
  });
};
lanes.forEach((lane, index) => {
  all(".mark", lane).forEach((mark) => {
    if (!within(box(mark), box(floors[index]))) wrong.push(`${name(mark)} LEAVES ${names[index].textContent}`);
  });
  const rows = all(".row", lane);
  rows.forEach((row) => overlap(all(".mark", row)));
  rows.slice(1).forEach((row, above) => {
    if (box(row).top < box(rows[above]).bottom - 1) wrong.push(`${name(row)} IS ON ${name(rows[above])}`);
  });
  // The name stands at its lane.
  if (box(names[index]).top < box(floors[index]).top || box(names[index]).bottom > box(floors[index]).bottom) {
    wrong.push(`${names[index].textContent} IS NOT AT ITS LANE`);
  }
});
all(".mark text", plot).forEach((text) => {
  const bar = text.parentElement.querySelector(".bar");
  const inside = bar && box(text).left >= box(bar).left && box(text).left < box(bar).right;
  if (inside && box(text).right > box(bar).right) wrong.push(`${name(text)} OVERFLOWS ITS BAR`);
});
overlap(all(".tick", plot));
overlap(all(".unit", plot));
all(".tick, .unit", plot).forEach((text) => within(box(text), box(plot)) || wrong.push(`${name(text)} IS CUT`));
all(".names text").forEach((text) => within(box(text), box(text.ownerSVGElement)) || wrong.push(`${name(text)} IS CUT`));

all("h1, h2, p, dt, dd, li, td, footer").forEach((element) => {
  if (element.scrollWidth > element.clientWidth + 1) wrong.push(`${name(element)} OVERFLOWS`);
});
if (document.documentElement.scrollWidth > innerWidth) {
  wrong.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${innerWidth}`);
}

const counted = all(".more text", plot).reduce((sum, text) => sum + Number(text.textContent), 0);
return {
  wrong,
  width: innerWidth,
  requests: performance.getEntriesByType("resource").map((entry) => entry.name),
  told: all(".lane .mark:not(.more)", plot).length + counted,
  counted,
  scripts: all("script").length,
  rows: all("tbody tr").map((row) => [row.className, ...all("td", row).map((cell) => cell.textContent)]),
};
