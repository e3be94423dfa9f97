// Shows the figures under the pointer at once, where the browser alone takes a second.
"use strict";
(() => {
  const box = document.body.appendChild(document.createElement("div"));
  box.className = "hover";
  box.hidden = true;
  for (const column of document.querySelectorAll("rect.column")) {
    const title = column.querySelector("title");
    const figures = title.textContent;
    column.setAttribute("aria-label", figures);
    title.remove();
    column.addEventListener("pointermove", (event) => {
      box.textContent = figures;
      box.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
      const top = Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8);
      box.style.transform = `translate(${Math.max(left, 0)}px, ${Math.max(top, 0)}px)`;
    });
    column.addEventListener("pointerleave", () => { box.hidden = true; });
  }
})();
