(function () {
  "use strict";
  var live = document.getElementById("live");
  var events = document.body.dataset.events;
  var busy = false, again = false;

  function say(text) { if (live.textContent !== text) live.textContent = text; }

  function copied(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    var area = document.createElement("textarea");
    area.value = text;
    document.body.appendChild(area);
    area.select();
    var done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("not copied"));
  }

  function enhance() {
    document.querySelectorAll(".fix").forEach(function (box, number) {
      var text = box.querySelector(".copied").textContent;
      var button = document.createElement("button");
      button.type = "button";
      button.id = "copy-" + number;
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy the fix: " + text.slice(0, 60));
      button.addEventListener("click", function () {
        copied(text).then(function () { say("Copied"); }, function () { say("Cannot copy here: select the text"); });
      });
      box.appendChild(button);
    });
  }

  function length(seconds) {
    var parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]], text = "", shown = 0;
    parts.forEach(function (part) {
      var count = Math.floor(seconds / part[0]);
      seconds -= count * part[0];
      if (count && shown < 2) { text += count + part[1]; shown += 1; }
    });
    return text || "0s";
  }

  function age() {
    document.querySelectorAll("time[data-age]").forEach(function (time) {
      var seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
      time.textContent = length(seconds) + " ago";
    });
  }

  function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    fetch(location.href, { credentials: "same-origin" }).then(function (answer) {
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      return answer.text();
    }).then(function (text) {
      var next = new DOMParser().parseFromString(text, "text/html");
      var focused = document.activeElement && document.activeElement.id;
      var within = document.activeElement && document.getElementById("main").contains(document.activeElement);
      ["main", "foot"].forEach(function (id) {
        document.getElementById(id).replaceChildren.apply(document.getElementById(id), next.getElementById(id).childNodes);
      });
      document.getElementById("main").dataset.version = next.getElementById("main").dataset.version;
      document.title = next.title;
      enhance();
      age();
      if (within && focused && document.getElementById(focused)) document.getElementById(focused).focus();
      say("Live");
    }).catch(function () {
      say("Not updated: the operator does not answer");
    }).finally(function () {
      busy = false;
      if (again) { again = false; refresh(); }
    });
  }

  enhance();
  if (!events) return;
  age();
  setInterval(age, 5000);
  setInterval(refresh, 60000);
  var source = new EventSource(events);
  source.addEventListener("changed", function (event) {
    if (event.data === document.getElementById("main").dataset.version) say("Live"); else refresh();
  });
  source.addEventListener("error", function () { say("Not updated: the operator does not answer"); });
})();
