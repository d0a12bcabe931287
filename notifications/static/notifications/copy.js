"use strict";
// The text before a button is copied by it; without this script the button is hidden, and the text can be selected.
for (const button of document.querySelectorAll("[data-copies=previous]")) {
  const text = button.previousElementSibling;
  const said = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      // Outside https browsers have no clipboard to write to.
      window.getSelection().selectAllChildren(text);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}
