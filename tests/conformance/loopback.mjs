/* Loaded before the suite's origin, which listens on every interface: here on loopback only. */
import net from 'node:net'

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port) {
  return listen.call(this, Number(port), '127.0.0.1')
}
