"use strict";
// The dashboard shows how things stand: never under somebody's hands, nor where nobody looks.
setInterval(() => {
  const idle = document.activeElement === document.body && !document.querySelector("details[open]");
  if (idle && !document.hidden && !String(window.getSelection())) window.location.reload();
}, 15000);
