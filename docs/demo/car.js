// car: the policy of cma-es on MountainCar-v0, written by zorl 0.1.0.
//
// For <script src> in a page, where it is the global `car`, or for node's require. The actions
// are those of zorl's `predict` to the last bit: every operation is rounded to single precision.
//
//     const action = car.act(observation);
//
// An observation is an array of 2 numbers. An action is a whole number.
(function (root) {
  "use strict";
  const f = Math.fround;
  const layers = [
    [new Float32Array([
      -2.054991, -2.407011, 1.5908289, 0.20557733, 0.22204189, -4.3875546, 3.7328289, -5.4531446,
      5.039365, 9.470633, 1.418317, -3.6315525, 1.8773125, 0.476495, -4.8685837, 1.2700746]),
    new Float32Array([
      2.369081, 2.8077946, -2.8338532, -0.3479011, -0.45331973, -4.476352, 1.2913013, 0.92308265])],
    [new Float32Array([
      -5.186047, -0.87104905, 0.913646, -5.3846035, -0.78919613, 5.7780194, 0.27333304, -1.1901315,
      3.6317136, -1.5261903, -2.8703363, -2.0871072, -0.07930006, -0.6515908, 0.7343115, -3.9698343,
      2.7049499, -0.79878145, 3.691131, 0.8883586, -0.33862138, -3.2554936, -3.7598228, 0.1524142]),
    new Float32Array([
      -0.20015956, -3.0267246, 0.68314993])],
  ];
  const center = new Float64Array([
      -0.4719091658736601, 0.005118597060070612]);
  const factor = new Float64Array([
      2.8228755974903126, 38.070843410758314]);
  // The single precision of every number, and its bits.
  const single = new Float32Array(1), bits = new Int32Array(single.buffer);

  // [2^k, p], with exp(y) = 2^k (1 + p), for y <= 0.
  function exp(y) {
    const within = y > -87.0 ? y : -87.0;
    single[0] = f(f(within * 1.4426950216293335) + 12582912.0);
    const k = f(single[0] - 12582912.0);
    const r = f(f(within - f(k * 0.693359375)) - f(k * -0.00021219444170128554));
    let p = f(r * 0.00019841270113829523);
    for (const c of [0.0013888889225199819, 0.008333333767950535, 0.0416666679084301, 0.1666666716337204, 0.5, 1.0]) p = f(r * f(c + p));
    bits[0] = (bits[0] - 1262485377) << 23;
    return [y < -87.0 ? 0 : single[0], p];
  }

  function tanh(x) {
    if (x !== x) return x;
    const [scale, p] = exp(f(2 * (x < 0 ? x : -x))), e = f(f(scale * p) + f(scale - 1));
    const size = f(-e / f(2 + e));
    return x < 0 ? -size : size;
  }

  // b + W x, summed input by input; w has a row for each input.
  function layer(w, b, x) {
    const h = Float32Array.from(b);
    for (let i = 0; i < x.length; i++)
      for (let o = 0; o < h.length; o++) h[o] += f(w[i * h.length + o] * x[i]);
    return h;
  }

  // The index of the largest number, or of the first NaN.
  function largest(h) {
    let best = 0;
    for (let o = 1; o < h.length; o++)
      if (h[o] > h[best] || (h[o] !== h[o] && h[best] === h[best])) best = o;
    return best;
  }

  function act(observation) {
    const features = observation;
    let h = Float32Array.from(features, (value, i) =>
      Math.max(-10.0, Math.min(10.0, (value - center[i]) * factor[i])));
    layers.forEach(([w, b], index) => {
      h = layer(w, b, index ? h.map(tanh) : h);
    });
    return 0 + largest(h);
  }

  const policy = { act };
  if (typeof module === "object") module.exports = policy;
  else root.car = policy;
})(globalThis);
