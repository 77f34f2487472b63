// Says what went wrong, keeps the place of the keyboard, and draws charts from the data of the page.
document.addEventListener("htmx:responseError", (event) => {
  let said = `The server answered ${event.detail.xhr.status}.`;
  try { said = JSON.parse(event.detail.xhr.responseText).error.message; } catch { /* no JSON */ }
  document.getElementById("said").textContent = said;
});
document.addEventListener("htmx:sendError", () => {
  document.getElementById("said").textContent = "The server cannot be reached.";
});
