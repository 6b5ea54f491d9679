// Shows the values of the nearest point; without this script they are the points' titles.
"use strict";
const tip = document.getElementById("tip");
for (const svg of document.querySelectorAll("svg.figure")) {
  const points = [...svg.querySelectorAll(".at")].map((circle) => {
    const title = circle.querySelector("title");
    const text = title.textContent;
    title.remove();
    return { circle, text, x: +circle.getAttribute("cx"), y: +circle.getAttribute("cy") };
  });
  if (!points.length) continue;
  let shown = -1;
  const ring = document.createElementNS(svg.namespaceURI, "circle");
  ring.setAttribute("class", "near");
  ring.setAttribute("r", 8);
  const hide = () => { shown = -1; ring.remove(); tip.hidden = true; };
  const show = (i) => {
    shown = i;
    const { x, y, text } = points[i];
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    svg.append(ring);
    tip.textContent = text;
    tip.hidden = false;
    const at = ring.getBoundingClientRect();
    const left = at.right + 8 + tip.offsetWidth > innerWidth ? at.left - 8 - tip.offsetWidth : at.right + 8;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, Math.min(at.top - tip.offsetHeight / 2, innerHeight - tip.offsetHeight - 4)) + "px";
  };
  const nearest = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = 0, least = Infinity;
    points.forEach((p, i) => {
      const distance = (p.x - at.x) ** 2 + (p.y - at.y) ** 2;
      if (distance < least) [least, best] = [distance, i];
    });
    if (least < 60 ** 2) show(best); else hide();
  };
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    show((shown + step + points.length) % points.length);
  });
}
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
// What is folded is printed, too.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not(.values)")) details.open = true;
});
