import { expect, test } from "bun:test";
import { escapeHtmlInJson } from "./escape-html.ts";

test("[LM-16] string values are escaped as PHP's htmlspecialchars does; keys and everything else stay to the letter", () => {
  for (const [json, escaped] of [
    [`"<b>'x' & \\"y\\"</b>"`, `"&lt;b&gt;&#039;x&#039; &amp; &quot;y&quot;&lt;/b&gt;"`],
    [`{"<k>":"<v>","n":[1,"&amp;",null,true]}`, `{"<k>":"&lt;v&gt;","n":[1,"&amp;amp;",null,true]}`],
    [`{ "a" : "<" , "b":12345678901234567890.10 }`, `{ "a" : "&lt;" , "b":12345678901234567890.10 }`],
    [`"\\u003cscript\\u003e"`, `"&lt;script&gt;"`],
    [`"a\\\\"`, `"a\\\\"`],
    [`{"a":"\\\\","<":"\\\\\\"<"}`, `{"a":"\\\\","<":"\\\\&quot;&lt;"}`],
    [`{"__proto__":"<"}`, `{"__proto__":"&lt;"}`],
    [`"中文 😀 é"`, `"中文 😀 é"`],
    ["12", "12"],
  ] as const) {
    expect(escapeHtmlInJson(json)).toBe(escaped);
    expect(() => JSON.parse(escapeHtmlInJson(json)) as unknown).not.toThrow();
  }
});
