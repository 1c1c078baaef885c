<?php

declare(strict_types=1);

namespace Shop\Web;

use Shop\Prices;
use Symfony\Component\HttpFoundation\{Request, Response as Answer};

const VAT = 0.2;

/** A cart. */
#[Entity]
final class Cart extends Base implements \Countable
{
    use Loggable;

    public const LIMIT = 99;
    private array $items = [];

    public function __construct(private string $owner, protected ?Prices $prices = null)
    {
    }

    public static function load(int $id): ?self
    {
        $found = array_map(function ($row) {
            return new Item($row);
        }, Store::rows($id));
        return $found ? new self($found) : null;
    }

    abstract protected function &rows(): iterable;
}

interface Priced
{
    public function price(): float;
}

trait Loggable
{
    private function log(string $text): void {}
}

enum Size: string
{
    case Small = 's';

    public function label(): string
    {
        return ucfirst(strtolower($this->name));
    }
}

if (!function_exists('helper')) {
    function helper($value, ...$rest)
    {
        return $value;
    }
}
?>
<p><?= helper($title) ?></p>
