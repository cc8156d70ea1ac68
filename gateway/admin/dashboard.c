/* The page at /: asks /v1/status every two seconds. No other origin is asked for anything. */
#include "admin_internal.h"

static const char page[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>rollout-gateway</title>"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>"
    ":root{color-scheme:light dark;--line:#8884;--soft:#888}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:66rem;padding:1.5rem}"
    "h1{font-size:1.3rem;margin:0 0 .2rem}h2{font-size:1rem;margin:1.6rem 0 .5rem}"
    "#state{color:var(--soft)}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));"
    "gap:.8rem}"
    ".tile{border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}"
    ".tile b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}.tile "
    "span{color:var(--soft);font-size:.85rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px "
    "solid var(--line)}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.bar{background:#3b82f6;height:.6rem;border-"
    "radius:.3rem}"
    "</style></head><body><h1>rollout-gateway</h1><div id=\"state\">loading\xe2\x80\xa6</div>"
    "<h2>Now</h2><div class=\"tiles\" id=\"tiles\"></div>"
    "<h2>How requests were answered</h2><table id=\"outcomes\"></table>"
    "<h2>Upstream, webhooks, store</h2><table id=\"rest\"></table><script>"
    "const $=i=>document.getElementById(i);let last=null;"
    "const num=n=>n.toLocaleString('en');const mib=n=>(n/1048576).toFixed(1)+' MiB';"
    "function tile(label,value){const d=document.createElement('div');d.className='tile';"
    "const b=document.createElement('b');b.textContent=value;const "
    "s=document.createElement('span');s.textContent=label;"
    "d.append(b,s);return d}"
    "function row(cells,share){const r=document.createElement('tr');cells.forEach((c,i)=>{const "
    "d=document.createElement('td');"
    "d.textContent=c;if(i>0)d.className='n';r.append(d)});if(share!==undefined){const "
    "d=document.createElement('td');"
    "d.style.width='50%';const "
    "b=document.createElement('div');b.className='bar';b.style.width=(share*100).toFixed(1)+'%';"
    "d.append(b);r.append(d)}return r}"
    "async function look(){try{const a=await fetch('v1/status');if(!a.ok)throw new Error(a.status);const "
    "s=await a.json();"
    "$('state').textContent=`${s.state} \xc2\xb7 version ${s.version} \xc2\xb7 ${s.workers} workers \xc2\xb7 "
    "up ${num(s.uptime_s)} s`;"
    "const now=Date.now();const "
    "rate=last?Math.max(0,(s.requests-last.n)*1000/(now-last.t)):0;last={n:s.requests,t:now};"
    "$('tiles').replaceChildren(tile('requests/s',rate.toFixed(1)),tile('requests',num(s.requests)),"
    "tile('hit ratio',(s.cache.hit_ratio*100).toFixed(1)+' %'),tile('entries',num(s.cache.entries)),"
    "tile('cache of '+mib(s.cache.budget),mib(s.cache.bytes)),tile('upstream "
    "connections',num(s.upstream.open)));"
    "const o=s.cache.outcomes;const most=Math.max(1,...Object.values(o));"
    "$('outcomes').replaceChildren(...Object.entries(o).map(([k,v])=>row([k,num(v)],v/most)));"
    "const rest=[];for(const part of ['upstream','webhooks','store','tokens'])"
    "for(const [k,v] of Object.entries(s[part]))rest.push(row([part+': '+k.replaceAll('_',' '),num(v)]));"
    "$('rest').replaceChildren(...rest)}catch(e){$('state').textContent='not reachable: '+e.message}}"
    "look();setInterval(look,2000)</script></body></html>\n";

void admin_dashboard(struct admin_request *r)
{
    server_reply(
        r->x, 200, "text/html; charset=utf-8",
        "Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; "
        "style-src "
        "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n",
        SLICE(page));
}
