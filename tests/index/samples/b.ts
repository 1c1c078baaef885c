import { Foo } from './foo';
export interface Shape { area(): number; name: string; }
export type Id = string | number;
export enum Color { Red, Green }
export abstract class Base<T> implements Shape {
  private x: number = 1;
  abstract area(): number;
  protected async run<T>(a: T): Promise<T> { return a; }
}
namespace Inner { export function deep() {} }
declare function ext(a: number): void;
export const useCart = (id: Id): Shape => { return null as any; };
