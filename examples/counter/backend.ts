/** The backend in TypeScript: asked about each message, it counts it. `backend.php` is the same in PHP. */
const { LONGWIRE_URL, LONGWIRE_API_KEY, LONGWIRE_HOOK_SECRET, BACKEND_PORT } = process.env;

interface Question {
  readonly session: string;
  readonly data: unknown;
}

/** With a session the key is that session's, and goes with it. */
async function add(key: string, session?: string): Promise<number> {
  const response = await fetch(`${LONGWIRE_URL}/api/state/${encodeURIComponent(key)}`, {
    method: "POST",
    headers: { authorization: `Bearer ${LONGWIRE_API_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ add: 1, session }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return ((await response.json()) as { value: number }).value;
}

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(BACKEND_PORT),
  development: false,
  async fetch(request) {
    if (request.headers.get("authorization") !== `Bearer ${LONGWIRE_HOOK_SECRET}`)
      return new Response(null, { status: 401 });
    const { session, data } = (await request.json()) as Question;
    const [count, total] = await Promise.all([add(`count:${session}`, session), add("total")]);
    return Response.json({ allow: true, data: { text: data, count, total } });
  },
});
