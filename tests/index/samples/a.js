'use strict';
const fs = require('fs');
import { x } from "./lib.js";
export default class Cart extends Base {
  static limit = 3;
  constructor(owner) { this.owner = owner; }
  get total() { return 1; }
  async add(item) { const inner = () => 2; return inner(); }
  handler = (e) => { this.x = e; };
}
export function merge(a, b) { function helper() { return 1; } return helper(); }
const sum = (xs) => xs.reduce((a, b) => a + b, 0);
module.exports.load = function (id) { return id; };
Cart.prototype.drop = function () {};
(function () { function hidden() {} })();
describe('cart', () => { function util() {} it('adds', () => {}); });
const api = { fetchAll(q) { return q; }, one: async () => 1, plain: 3 };
