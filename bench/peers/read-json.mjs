/** Hands on a request's JSON body. */
export function readJson(request, use) {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (part) => {
    text += part;
  });
  request.on("end", () => use(JSON.parse(text)));
}
