"use strict";
// A page of what is under way shows how far it is. Never under somebody's hands, nor where nobody looks.
setInterval(() => {
  const idle = document.activeElement === document.body && !document.querySelector("input.action-select:checked");
  if (idle && !document.hidden && !String(window.getSelection())) window.location.reload();
}, 3000);
