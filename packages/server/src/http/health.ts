/** `/healthz`: the process answers. `/readyz`: it can do its work; load balancers ask here. */
import { jsonAnswer } from "./answers.ts";
import { operation, type Operation } from "./operation.ts";
import { alive, readiness } from "./schemas.ts";

export type Health = () => { readonly ready: boolean; readonly reason?: string };

export function healthOperations(health: Health): Operation[] {
  return [
    operation({
      method: "GET",
      path: "/healthz",
      tag: "health",
      id: "getAlive",
      summary: "200 while the process is alive",
      answer: alive,
      run: () => ({ status: "ok" }),
    }),
    operation({
      method: "GET",
      path: "/readyz",
      tag: "health",
      id: "getReady",
      summary: "200 when publications can be taken, else 503 and the reason",
      answer: readiness,
      run() {
        const { ready, reason } = health();
        return jsonAnswer(reason === undefined ? { ready } : { ready, reason }, ready ? 200 : 503);
      },
    }),
  ];
}
