// Both end when the session does: then the page shows the login.
const ticks = new EventSource("/ticks");
ticks.onmessage = (event) => {
  document.querySelector("#ticks").textContent = event.data;
};
ticks.addEventListener("over", () => {
  ticks.close();
  location.reload();
});

const socket = new WebSocket(`${location.origin.replace("http", "ws")}/talk`);
socket.onmessage = (event) => {
  const line = document.createElement("li");
  line.textContent = event.data;
  document.querySelector("#heard").append(line);
};
document.querySelector("#say").onsubmit = (event) => {
  event.preventDefault();
  socket.send(new FormData(event.target).get("text"));
  event.target.reset();
};
