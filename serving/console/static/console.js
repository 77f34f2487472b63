// Says what went wrong, keeps the place of the keyboard, and draws charts from the data of the page.
document.addEventListener("htmx:responseError", (event) => {
  let message = `The server answered ${event.detail.xhr.status}.`;
  try { message = JSON.parse(event.detail.xhr.responseText).error.message; } catch { /* no JSON */ }
  document.getElementById("message").textContent = message;
});
document.addEventListener("htmx:sendError", () => {
  document.getElementById("message").textContent = "The server cannot be reached.";
});
document.addEventListener("click", (event) => {
  const asked = event.target.closest("[data-ask]");
  if (asked && !window.confirm(asked.dataset.ask)) event.preventDefault();
});
const drawn = new Map();
function draw() {
  for (const [plot, place] of drawn) if (!place.isConnected) { plot.destroy(); drawn.delete(plot); }
  if (!window.uPlot) return;
  const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
  for (const place of document.querySelectorAll(".chart:empty")) {
    const names = JSON.parse(place.dataset.names), colours = ["--accent", "--warn", "--good"];
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const band = place.dataset.band === "yes";
    const series = names.map((label, at) => ({
      label, stroke: colour(band && at ? "--line" : colours[at]), width: band && at ? 1 : 2, points: { show: false }, spanGaps: true,
      value: (_, value) => (value === null || value === undefined ? "no data" : `${value} ${place.dataset.unit}`),
    }));
    const plot = new uPlot({
      width: place.clientWidth, height: 190, series: [{}, ...series], legend: { live: false }, axes: [{ ...axis, values: (_, times) => times.map((at) => new Date(1000 * at).toISOString().slice(11, 16)) }, { ...axis, size: 52 }],
      bands: band ? [{ series: [3, 2], fill: colour("--mark") }] : [],
      scales: { y: { range: (_, low, high) => (band ? [Math.min(0, low ?? 0), Math.max(0, high ?? 1)] : [0, (high || 1) * 1.1]) } }, cursor: { points: { size: 7 } },
    }, JSON.parse(place.dataset.points), place);
    drawn.set(plot, place);
  }
}
document.addEventListener("DOMContentLoaded", draw);
document.addEventListener("htmx:load", draw);
window.addEventListener("resize", () => { for (const [plot, place] of drawn) plot.setSize({ width: place.clientWidth, height: 190 }); });
