/*
 * Runs the public HTTP caching tests through the gateway's ordinary tenant path and judges the outcome:
 *
 *   node run.mjs --gateway BINARY --profile NAME [--test ID] [--suite DIR]
 *
 * NAME is "shipped" (only `"ttl": "0s"`) or a file of conf/ without its ending. The suite's own origin and the gateway live on
 * loopback for as long as the run. misses.json holds what each profile is known to miss, with the reason; anything else that fails is an
 * error, and so is a known miss that passes now.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = path.dirname(fileURLToPath(import.meta.url))
const tenant = 'conformance'
const api = 'crm'

const { values: options } = parseArgs({
  options: {
    gateway: { type: 'string' },
    profile: { type: 'string', default: 'shipped' },
    suite: { type: 'string', default: path.join(here, 'node_modules', 'http-cache-tests') },
    misses: { type: 'string', default: path.join(here, 'misses.json') },
    test: { type: 'string' }
  }
})

/* Resolves with what `match` makes of a line of the process; rejects when the process ends first. */
async function waitForLine (child, stream, match) {
  const tail = []
  for await (const line of createInterface({ input: stream })) {
    const value = match(line)
    if (value) {
      stream.resume()
      return value
    }
    tail.push(line)
  }
  throw new Error(`${child.spawnfile} ended early:\n${tail.slice(-20).join('\n')}`)
}

async function startOrigin (directory) {
  const child = spawn(process.execPath, ['--import', path.join(here, 'loopback.mjs'), 'server/server.mjs'], {
    cwd: options.suite,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      npm_config_protocol: 'http',
      npm_config_port: '0',
      npm_config_pidfile: path.join(directory, 'origin.pid')
    }
  })
  const url = await waitForLine(child, child.stdout, line => line.match(/^Listening on (http:\S+)\/$/)?.[1])
  if (options.test) child.stdout.on('data', data => process.stdout.write(data))
  return { child, url }
}

function configuration (directory, upstream) {
  const profile = options.profile === 'shipped'
    ? { cache: { default: { ttl: '0s' } } }
    : JSON.parse(fs.readFileSync(path.join(here, '..', '..', 'conf', `${options.profile}.json`), 'utf8'))
  return {
    ...profile,
    listen: { data: '127.0.0.1:0', webhooks: '127.0.0.1:0', admin: '127.0.0.1:0' },
    data_dir: directory,
    rollout: { client_id: 'conformance', client_secret: { env: 'ROLLOUT_CLIENT_SECRET' } },
    upstreams: { [api]: { ...profile.upstreams?.[api], url: upstream } },
    log: { access: false }
  }
}

async function startGateway (directory, upstream) {
  const file = path.join(directory, 'gateway.json')
  fs.writeFileSync(file, JSON.stringify(configuration(directory, upstream)))
  const child = spawn(options.gateway, ['serve', '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ROLLOUT_CLIENT_SECRET: 's'.repeat(64) }
  })
  const ready = await waitForLine(child, child.stderr, line => {
    try {
      const value = JSON.parse(line)
      return value.event === 'ready' && value
    } catch {
      return null
    }
  })
  child.stderr.on('data', data => process.stderr.write(data))
  const answer = await fetch(`http://${ready.admin}/v1/tenants/${tenant}/credentials/cred`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ apis: [api] })
  })
  if (!answer.ok) throw new Error(`the credential was refused: ${answer.status} ${await answer.text()}`)
  return { child, base: `http://${ready.data}/t/${tenant}/${api}` }
}

async function stop (child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill()
  await once(child, 'exit')
}

async function runSuite (base) {
  const load = file => import(path.join(options.suite, file))
  const { runTests, getResults } = await load('client/runner.mjs')
  const tests = (await load('tests/index.mjs')).default
  const { default: request } = await import(path.join(here, 'node_modules', 'node-fetch', 'lib', 'index.js'))
  const all = tests.flatMap(group => group.tests).filter(test => !options.test || test.id === options.test)
  if (options.test) for (const test of all) test.dump = true
  await runTests([{ tests: all }], request, false, base, 25)
  const results = getResults()
  return all.filter(test => test.id in results).map(test => ({
    id: test.id,
    kind: test.kind ?? 'required',
    passed: results[test.id] === true,
    why: results[test.id] === true ? '' : results[test.id].join(': ').slice(0, 120)
  }))
}

/* Prints the row, then each miss with its reason. Returns what is not as misses.json says. */
function judge (results) {
  const known = JSON.parse(fs.readFileSync(options.misses, 'utf8'))[options.profile] ?? {}
  const wrong = []
  for (const kind of ['required', 'optimal']) {
    const all = results.filter(result => result.kind === kind)
    console.log(`${options.profile}: ${kind} ${all.filter(result => result.passed).length} of ${all.length}`)
  }
  for (const { id, kind, passed, why } of results.filter(result => result.kind !== 'check')) {
    if (!passed) console.log(`  ${kind} ${id}: ${why}\n    ${known[id] ?? 'UNEXPECTED'}`)
    if (!passed && !known[id]) wrong.push(`${id} fails`)
    if (passed && known[id]) wrong.push(`${id} passes now: take it out of misses.json`)
  }
  return wrong
}

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'conformance.'))
const children = []
try {
  const origin = await startOrigin(directory)
  children.unshift(origin.child)
  const gateway = await startGateway(directory, origin.url)
  children.unshift(gateway.child)
  const wrong = judge(await runSuite(gateway.base))
  if (wrong.length > 0) {
    console.error(wrong.join('\n'))
    process.exitCode = 1
  }
} finally {
  for (const child of children) await stop(child)
  fs.rmSync(directory, { recursive: true })
}
