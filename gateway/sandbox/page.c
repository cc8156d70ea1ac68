/*
 * A small page in place of Rollout Link: what a tenant's front end does to connect an account. It gets a
 * token from the gateway, connects at the stand-in with it, and tells the gateway which account that is. The
 * gateway is another origin: this is what link.allowed_origins is for.
 */
#include "sandbox/sandbox_internal.h"

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Connect an account</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<style>\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1b2430}\n"
    "h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .4rem}p{margin:.3rem 0;color:#566}\n"
    "button{font:inherit;padding:.3rem .8rem;border:1px solid #b8c2cc;border-radius:.4rem;background:#fff;\n"
    " cursor:pointer;margin:.15rem}button:hover,button:focus{border-color:#2563eb}button:disabled{opacity:.5}"
    "\n"
    "li{margin:.3rem 0}code,#log{font:13px/1.6 "
    "ui-monospace,monospace}#log{white-space:pre-wrap;background:#f4f6f8;\n"
    " padding:.7rem;border-radius:.4rem;min-height:3rem;overflow-wrap:anywhere}.bad{color:#b42318}\n"
    "</style></head><body>\n"
    "<h1>Connect an account</h1>\n"
    "<p>In place of Rollout Link, for the tenant <code id=\"tenant\"></code> of the gateway at <code\n"
    " id=\"gateway\"></code>.</p>\n"
    "<h2>Connected</h2><ul id=\"accounts\"></ul>\n"
    "<h2>Connect</h2><div id=\"connectors\"></div>\n"
    "<h2>What happened</h2><div id=\"log\" role=\"log\"></div>\n"
    "<script src=\"link.js\"></script></body></html>\n";

static const char script[] =
    "'use strict';\n"
    "const query = new URLSearchParams(location.search);\n"
    "const gateway = query.get('gateway') || 'http://127.0.0.1:8080';\n"
    "const tenant = query.get('tenant') || 'umbrella';\n"
    "const rollout = location.origin + '/core/api';\n"
    "const at = id => document.getElementById(id);\n"
    "\n"
    "function tell(text, bad) {\n"
    "  const line = document.createElement('div');\n"
    "  line.textContent = text;\n"
    "  line.className = bad ? 'bad' : '';\n"
    "  at('log').append(line);\n"
    "}\n"
    "\n"
    "async function call(method, url, headers, body) {\n"
    "  const more = body ? {'Content-Type': 'application/json'} : {};\n"
    "  const answer = await fetch(url, {method, headers: {...headers, ...more}, body: body && "
    "JSON.stringify(body)});\n"
    "  tell(`${method} ${url} \\u2192 ${answer.status}`, !answer.ok);\n"
    "  const value = answer.status === 204 ? null : await answer.json();\n"
    "  if (!answer.ok) throw new Error(value.detail || value.errors?.[0]?.message || answer.status);\n"
    "  return value;\n"
    "}\n"
    "\n"
    "const ask = (method, path, body) => call(method, gateway + '/link' + path, {'X-Tenant-Id': tenant}, "
    "body);\n"
    "\n"
    "function button(text, run) {\n"
    "  const made = document.createElement('button');\n"
    "  made.textContent = text;\n"
    "  made.onclick = async () => {\n"
    "    made.disabled = true;\n"
    "    try { await run(); } catch (error) { tell(error.message, true); }\n"
    "    made.disabled = false;\n"
    "  };\n"
    "  return made;\n"
    "}\n"
    "\n"
    "async function show() {\n"
    "  const {credentials} = await ask('GET', '/credentials');\n"
    "  at('accounts').replaceChildren(...credentials.map(one => {\n"
    "    const item = document.createElement('li');\n"
    "    item.textContent = `${one.label || one.app_key}: ${one.apis.join(', ') || 'every API'} "
    "(${one.status}) `;\n"
    "    item.append(button('Disconnect', async () => {\n"
    "      await ask('DELETE', '/credentials/' + encodeURIComponent(one.credential_id));\n"
    "      await show();\n"
    "    }));\n"
    "    return item;\n"
    "  }));\n"
    "  if (credentials.length === 0) at('accounts').append('none yet');\n"
    "}\n"
    "\n"
    "async function connect(appKey) {\n"
    "  const {token} = await ask('POST', '/token');\n"
    "  const made = await call('POST', rollout + '/credentials', {Authorization: 'Bearer ' + token}, "
    "{appKey});\n"
    "  if (made.action) throw new Error('this system asks for a code; the stand-in has none');\n"
    "  await ask('POST', '/credentials', {credential_id: made.id, app_key: appKey});\n"
    "  await show();\n"
    "}\n"
    "\n"
    "async function begin() {\n"
    "  at('tenant').textContent = tenant;\n"
    "  at('gateway').textContent = gateway;\n"
    "  const {token} = await ask('POST', '/token');\n"
    "  const connectors = await call('GET', rollout + '/connectors', {Authorization: 'Bearer ' + token});\n"
    "  for (const [appKey, one] of Object.entries(connectors)) {\n"
    "    const made = button(one.name, () => connect(appKey));\n"
    "    made.dataset.app = appKey;\n"
    "    at('connectors').append(made);\n"
    "  }\n"
    "  await show();\n"
    "}\n"
    "\n"
    "begin().catch(error => tell(error.message, true));\n";

#define FIELDS                                                                                               \
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"         \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "            \
    "connect-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"

void sandbox_page(struct sandbox_call *call)
{
    server_reply(call->x, 200, "text/html; charset=utf-8", FIELDS, SLICE(page));
}

void sandbox_page_script(struct sandbox_call *call)
{
    server_reply(call->x, 200, "text/javascript; charset=utf-8", FIELDS, SLICE(script));
}
